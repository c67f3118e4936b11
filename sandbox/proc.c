#include "sandbox/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { STAT_SIZE = 1024 };

ssize_t proc_read(int dirfd, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t len = fd_read_all(fd, buf, size - 1);
	if (len >= 0)
		buf[len] = '\0';
	return len;
}

ssize_t proc_read_record(int dirfd, const char *name, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (len < 0)
		return -errno;
	buf[len] = '\0';
	return len;
}

const char *proc_field(const char *status, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

unsigned long proc_number(const char *status, const char *name, int base)
{
	const char *value = proc_field(status, name);
	return value ? strtoul(value, NULL, base) : 0;
}

/* From the blank before field 3 on: the name may hold anything, also ')'. NULL: unreadable. */
static const char *stat_fields(int dirfd, char text[static STAT_SIZE])
{
	const char *p =
		proc_read_record(dirfd, "stat", text, STAT_SIZE) < 0 ? NULL : strrchr(text, ')');
	return p ? p + 1 : NULL;
}

unsigned long long proc_stat_number(int dirfd, unsigned n)
{
	char text[STAT_SIZE];
	const char *p = stat_fields(dirfd, text);
	for (unsigned i = 3; p && i < n; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

char proc_stat_state(int dirfd)
{
	char text[STAT_SIZE];
	const char *p = stat_fields(dirfd, text);
	return p && *p ? p[1] : 'X';
}

int proc_stat_read(int dirfd, struct proc_stat *ret)
{
	char text[STAT_SIZE];
	const char *p = stat_fields(dirfd, text);
	if (!p || sscanf(p,
			 " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			 "%*d %*d %llu",
			 &ret->state, &ret->parent, &ret->start_ticks) != 3)
		return -ESRCH;
	return 0;
}
