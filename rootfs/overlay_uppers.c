/* layers/ of a session: where the changes lie. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/overlay_plan.h"

int overlay_uppers_possible(int session_dirfd, const char *session_path, struct err *err)
{
	struct statfs sf;
	if (fstatfs(session_dirfd, &sf) < 0)
		return err_sys(err, errno, "overlay: cannot examine %s", session_path);
	const char *name = NULL;
	switch ((unsigned long)sf.f_type) {
	case 0x794c7630:
		name = "overlayfs (a container's root, or another sandbox)";
		break;
	case 0x6969:
		name = "NFS";
		break;
	case 0xff534d42:
	case 0xfe534d42:
	case 0x517b:
		name = "SMB";
		break;
	case 0x4d44:
	case 0x2011bab0:
		name = "FAT";
		break;
	case 0x01021997:
		name = "9p";
		break;
	default:
		return 0;
	}
	return err_set(err, EOPNOTSUPP,
		       "overlay: %s lies on %s, which cannot keep changes of an overlay: set "
		       "XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
		       session_path, name);
}

static int make_dir(int dirfd, const char *path, mode_t mode)
{
	if (mkdirat(dirfd, path, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/*
 * The root of an upper stands for the root of its layer, so it takes over owner, mode and time. Rootless
 * it is ours whoever owned it: the mode must not promise more than the caller has natively.
 */
static int make_upper(int dirfd, struct overlay_layer *l, bool rootful)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "layers/%u", l->index);
	int rc = make_dir(dirfd, path, 0700);
	snprintf(path, sizeof(path), "layers/%u/work", l->index);
	if (rc == 0)
		rc = make_dir(dirfd, path, 0700);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "layers/%u/upper", l->index);
	bool made = mkdirat(dirfd, path, 0700) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	if (made && stat(l->lower, &st) == 0) {
		mode_t mode = st.st_mode & 07777;
		if (rootful && fchownat(dirfd, path, st.st_uid, st.st_gid, 0) < 0)
			return -errno;
		if (fchmodat(dirfd, path, rootful ? mode : overlay_own_mode(l->lower, mode), 0) < 0)
			return -errno;
		utimensat(dirfd, path, (struct timespec[]){ st.st_atim, st.st_mtim }, 0);
	}
	l->upper_fd = openat(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return l->upper_fd < 0 ? -errno : 0;
}

int overlay_uppers_make(struct overlay *o, int session_dirfd)
{
	int rc = make_dir(session_dirfd, "layers", 0700);
	for (unsigned i = 0; rc == 0 && i < o->count; i++)
		rc = make_upper(session_dirfd, &o->layers[i], o->rootful);
	return rc;
}

static bool is_empty(int session_dirfd, unsigned layer)
{
	char path[48];
	snprintf(path, sizeof(path), "layers/%u/upper", layer);
	cleanup_dir DIR *dir = fd_opendir(session_dirfd, path, O_NOFOLLOW);
	if (!dir)
		return errno == ENOENT;
	for (const struct dirent *e; (e = readdir(dir));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return false;
	return true;
}

/* What a layer of @old holds would be in nobody's sight, were it not in @o as well. Empty ones may go. */
static int check_kept(const struct overlay *o, const struct overlay *old, int session_dirfd,
		      struct err *err)
{
	for (unsigned i = 0; i < old->count; i++) {
		bool found = is_empty(session_dirfd, old->layers[i].index);
		for (unsigned j = 0; !found && j < o->count; j++)
			found = strcmp(old->layers[i].mount, o->layers[j].mount) == 0;
		if (!found)
			return err_set(
				err, ENOTSUP,
				"overlay: the session has changes on %s, where there is no layer "
				"now: enter it with the HOME, TMPDIR and mounts that it was "
				"started with",
				old->layers[i].mount);
	}
	return 0;
}

int overlay_uppers_number(struct overlay *o, int session_dirfd, struct err *err)
{
	int rc = 0;
	unsigned next = 0;
	bool resumed = faccessat(session_dirfd, "layers.json", F_OK, 0) == 0;
	struct overlay *old = resumed ? calloc(1, sizeof(*old)) : NULL;
	if (old && overlay_load(session_dirfd, old, err) < 0) {
		free(old);
		return -EBADMSG;
	}
	if (old)
		rc = check_kept(o, old, session_dirfd, err);
	for (unsigned i = 0; old && i < old->count; i++)
		if (old->layers[i].index >= next)
			next = old->layers[i].index + 1;
	for (unsigned i = 0; i < o->count; i++) {
		struct overlay_layer *l = &o->layers[i];
		bool found = false;
		for (unsigned j = 0; old && !found && j < old->count; j++) {
			found = strcmp(old->layers[j].mount, l->mount) == 0;
			if (found)
				l->index = old->layers[j].index;
		}
		if (!found)
			l->index = next++;
	}
	if (old) {
		overlay_finish(old);
		free(old);
	}
	return rc;
}
