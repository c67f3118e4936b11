#include "rootfs/unpack_place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

/* @path is @prefix or below it; what is left of it. NULL it is not. */
static const char *within(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	if (!len)
		return path;
	if (strncmp(path, prefix, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len + (path[len] == '/');
}

const struct unpack_place *unpack_place_of(const struct unpack_plan *plan, const char *path,
					   const char **ret_rest)
{
	const struct unpack_place *found = NULL;
	for (unsigned i = 0; i < plan->place_count; i++) {
		const struct unpack_place *p = &plan->places[i];
		const char *rest = within(path, p->prefix);
		if (!rest || (found && strlen(p->prefix) < strlen(found->prefix)))
			continue;
		found = p;
		*ret_rest = rest;
	}
	return found;
}

int unpack_place_open(const struct unpack_plan *plan, int dirfd, const char *name, uint64_t flags)
{
	struct open_how how = {
		.flags = O_DIRECTORY | O_CLOEXEC | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (plan->kind == UNPACK_IMAGE ? 0 : RESOLVE_NO_SYMLINKS),
	};
	return fd_openat2(dirfd, name, &how);
}

int unpack_place_dir(const struct unpack_plan *plan, int dirfd, const char *rest, size_t len,
		     enum unpack_missing missing)
{
	char part[PATH_MAX];
	cleanup_fd int at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	if (len == 0)
		return take_fd(&at);
	if (len < sizeof(part)) {
		memcpy(part, rest, len);
		part[len] = '\0';
		int fd = unpack_place_open(plan, at, part, O_PATH);
		if (fd >= 0 || fd != -ENOENT || missing == UNPACK_LEAVE)
			return fd;
	}
	/* step by step: something is missing, or the whole is longer than a path may be */
	for (size_t from = 0; from < len;) {
		size_t n = strcspn(rest + from, "/");
		if (from + n > len)
			n = len - from;
		memcpy(part, rest + from, n);
		part[n] = '\0';
		if (missing == UNPACK_MAKE && mkdirat(at, part, 0755) < 0 && errno != EEXIST)
			return -errno;
		int fd = unpack_place_open(plan, at, part, O_PATH);
		if (fd < 0)
			return fd;
		close(at);
		at = fd;
		from += n + 1;
	}
	return take_fd(&at);
}

int unpack_place_failed(int rc, struct err *err)
{
	if (rc == -EXDEV)
		return err_set(err, EBADMSG, "its directory is a link that leaves the root");
	if (rc == -ELOOP)
		return err_set(err, EBADMSG, "its directory is reached through a link");
	if (rc == -ENOTDIR)
		return err_set(err, EBADMSG, "what should be its directory is none");
	return err_sys(err, -rc, "cannot open its directory");
}
