/* All that a rollback must bring back of a tree, as text: one line for each object. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int fingerprint_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t fingerprint_hash(uint64_t h, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static uint64_t fingerprint_content(int dirfd, const char *name)
{
	static char buf[65536];
	uint64_t h = 14695981039346656037u;
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;
	if (fd < 0)
		return (uint64_t)errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		h = fingerprint_hash(h, buf, (size_t)n);
	close(fd);
	return h;
}

/* Order in which a file system lists attributes is no property of a file. */
static uint64_t fingerprint_xattrs(int dirfd, const char *name)
{
	char list[4096], value[4096];
	uint64_t sum = 0;
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : flistxattr(fd, list, sizeof(list));
	for (char *at = list; n > 0 && at < list + n; at += strlen(at) + 1) {
		if (strncmp(at, "user.overlay.", 13) == 0 || strncmp(at, "trusted.", 8) == 0)
			continue;
		ssize_t len = fgetxattr(fd, at, value, sizeof(value));
		uint64_t h = fingerprint_hash(14695981039346656037u, at, strlen(at) + 1);
		sum += fingerprint_hash(h, value, len > 0 ? (size_t)len : 0);
	}
	if (fd >= 0)
		close(fd);
	return sum;
}

static void fingerprint_object(FILE *out, int dirfd, const char *name, const char *path)
{
	struct stat st;
	char target[PATH_MAX] = "";
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		fprintf(out, "%s: errno %d\n", path, errno);
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
	}
	/* an overlay counts a merged directory's links as 1, which a new one's are not */
	fprintf(out, "%s %o %u:%u n%lu s%lld m%lld.%09ld x%llx c%llx %s\n", path, st.st_mode,
		st.st_uid, st.st_gid, S_ISDIR(st.st_mode) ? 0 : (unsigned long)st.st_nlink,
		S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec,
		S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
			? (unsigned long long)fingerprint_xattrs(dirfd, name)
			: 0ull,
		S_ISREG(st.st_mode) ? (unsigned long long)fingerprint_content(dirfd, name) : 0ull,
		target);
}

/* @path: what to call it. */
static void fingerprint_tree(FILE *out, int dirfd, const char *path)
{
	char *names[4096];
	size_t count = 0;
	if (strcmp(path, ".") == 0)
		fingerprint_object(out, dirfd, ".", ".");
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fprintf(out, "%s: errno %d\n", path, errno);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) && count < 4096;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			names[count++] = strdup(e->d_name);
	closedir(d);
	qsort(names, count, sizeof(*names), fingerprint_order);
	for (size_t i = 0; i < count; i++) {
		char below[PATH_MAX];
		struct stat st;
		snprintf(below, sizeof(below), "%.3000s/%s", path, names[i]);
		fingerprint_object(out, dirfd, names[i], below);
		if (fstatat(dirfd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode)) {
			int child = openat(dirfd, names[i],
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			fingerprint_tree(out, child, below);
			close(child);
		}
		free(names[i]);
	}
}
