/* Cleanup by scope: what a block owns is released where the block ends. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void scope_free(void *p)
{
	free(*(void **)p);
}

/* Close is never retried: on Linux the descriptor is gone even after EINTR. errno is kept. */
static inline void scope_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

static inline void scope_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void scope_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define cleanup_free __attribute__((cleanup(scope_free)))
#define cleanup_fd   __attribute__((cleanup(scope_close)))
#define cleanup_file __attribute__((cleanup(scope_fclose)))
#define cleanup_dir  __attribute__((cleanup(scope_closedir)))

/* Hands a descriptor over: the variable no longer owns it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Hands a heap pointer over: the variable no longer owns it. */
#define take_ptr(p) \
	__extension__({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})
