/*
 * A program that performs a list of calls in the current directory, as run.sh has filled it, and
 * prints what each answered. run.sh compares the transcript of a native run with that of a run
 * inside. Only what has to be equal is printed: results, errno names, modes, link counts of files,
 * sizes, contents; never inode numbers or times of day.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One line: what was tried, its result, and errno when it failed. */
static inline long say(long result, const char *format, ...)
{
	int e = errno;
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	if (result < 0)
		printf(" = %s\n", strerrorname_np(e));
	else
		printf(" = %ld\n", result);
	fflush(stdout);
	return result;
}
#define TRY(call)  say((long)(call), "%s", #call)
#define SHUT(call) shut((int)say((long)(call), "%s", #call))

static inline void shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

static inline void section(const char *name)
{
	printf("\n[%s]\n", name);
}

static inline void look(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		say(-1, "look %s", path);
		return;
	}
	printf("look %s: mode %o uid %u gid %u", path, st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" links %lu size %ld", (unsigned long)st.st_nlink, (long)st.st_size);
	printf("\n");
}

static inline void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say(-1, "put %s", path);
	shut(fd);
}

static inline void get(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		say(-1, "get %s", path);
	else
		printf("get %s: %s\n", path, text);
	shut(fd);
}

/* To be called first: nothing that the program was started with shall count. */
static inline void begin(void)
{
	close_range(3, ~0U, 0);
	umask(022);
	put("file", "content");
	mkdir("dir", 0755);
}
