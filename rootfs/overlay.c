#include "rootfs/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/origin.h"
#include "rootfs/overlay_plan.h"
#include "rootfs/remove.h"

static const uint64_t layer_attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/* Of the initial user namespace, where an overlay of `/` can be built. */
static bool is_rootful(void)
{
	if (geteuid() != 0)
		return false;
	cleanup_file FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, count;
	if (!f || fscanf(f, "%lu %lu %lu", &inside, &outside, &count) != 3 || inside != 0 ||
	    outside != 0 || count != 4294967295)
		return false;
	/* a container's root may lack CAP_SYS_ADMIN; then it is an ordinary user to us */
	int fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* What the context of a failed fsconfig has to say, after its severity mark; "" nothing. */
static void read_context(int fsfd, char *text, size_t size)
{
	ssize_t n = read(fsfd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (n > 2 && text[1] == ' ')
		memmove(text, text + 2, strlen(text + 2) + 1);
}

/* Overlayfs takes ':' as a separator and '\' as its escape. */
static int set_path(int fsfd, const char *key, const char *path)
{
	char escaped[2 * PATH_MAX];
	char *out = escaped;
	for (; *path && out < escaped + sizeof(escaped) - 2; path++) {
		if (*path == ':' || *path == '\\')
			*out++ = '\\';
		*out++ = *path;
	}
	*out = '\0';
	if (fsconfig(fsfd, FSCONFIG_SET_STRING, key, escaped, 0) < 0)
		return -errno;
	return 0;
}

static int set_string(int fsfd, const char *key, const char *value)
{
	return fsconfig(fsfd, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

static int set_flag(int fsfd, const char *key)
{
	return fsconfig(fsfd, FSCONFIG_SET_FLAG, key, NULL, 0) < 0 ? -errno : 0;
}

/*
 * The image with the session's template above it. By descriptor: the text of a mount option ends after
 * 255 bytes, which two paths soon exceed.
 */
static int set_image(int fsfd, const struct overlay_request *req)
{
	char both[64], above[PATH_MAX];
	/* by its path: the session's descriptor belongs to mounts that are not ours any more (EINVAL) */
	snprintf(above, sizeof(above), "%s/template", req->session_path);
	cleanup_fd int a = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int b = open(req->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a < 0 || b < 0)
		return -errno;
	snprintf(both, sizeof(both), "/proc/self/fd/%d:/proc/self/fd/%d", a, b);
	return set_string(fsfd, "lowerdir", both);
}

/* One detached overlay. Returns its mount, or -errno with the kernel's own words in @err. */
static int make_overlay(const struct overlay_request *req, const struct overlay_layer *l,
			const char *lower, bool rootful, struct err *err)
{
	char upper[PATH_MAX], work[PATH_MAX], text[200] = "";
	if (snprintf(upper, sizeof(upper), "%s/layers/%u/upper", req->session_path, l->index) >=
		    (int)sizeof(upper) ||
	    snprintf(work, sizeof(work), "%s/layers/%u/work", req->session_path, l->index) >=
		    (int)sizeof(work))
		return err_set(err, ENAMETOOLONG, "overlay: the session's path is too long");
	cleanup_fd int fsfd = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fsfd < 0)
		return err_sys(err, errno,
			       "overlay: cannot open the file system type (is the kernel module "
			       "'overlay' loaded?)");
	int rc = set_string(fsfd, "source", "vsandbox");
	if (rc == 0 && strcmp(l->mount, "/") == 0 && req->rootfs)
		rc = set_image(fsfd, req);
	else if (rc == 0)
		rc = set_path(fsfd, "lowerdir", lower);
	if (rc == 0)
		rc = set_path(fsfd, "upperdir", upper);
	if (rc == 0)
		rc = set_path(fsfd, "workdir", work);
	if (rc == 0 && !rootful)
		rc = set_flag(fsfd, "userxattr");
	/* a path's upper must be found under the same path: no redirects, whatever the distribution's default */
	if (rc == 0 && rootful)
		rc = set_string(fsfd, "redirect_dir", "off");
	if (rc == 0 && rootful)
		rc = set_string(fsfd, "metacopy", "off");
	/*
	 * Two names of one file show one number, also when the state is on another file system (git checks). In the
	 * skeleton, whose template always is on another, directories show the number that their parent lists.
	 */
	if (rc == 0 && (rootful || (strcmp(l->mount, "/") == 0 && !req->rootfs)))
		rc = set_string(fsfd, "xino", "on");
	if (rc == 0 && req->volatile_upper)
		rc = set_flag(fsfd, "volatile");
	if (rc == 0 && fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		rc = -errno;
	if (rc < 0) {
		read_context(fsfd, text, sizeof(text));
		return err_sys(err, -rc, "overlay: cannot layer %s%s%s%s", l->mount,
			       text[0] ? " (" : "", text, text[0] ? ")" : "");
	}
	int mnt = fsmount(fsfd, FSMOUNT_CLOEXEC,
			  (unsigned)(layer_attr | (l->read_only ? MOUNT_ATTR_RDONLY : 0)));
	if (mnt < 0)
		return err_sys(err, errno, "overlay: cannot mount the layer of %s", l->mount);
	return mnt;
}

/* The session must lie where uppers are possible; says what to do where not. */
static int check_state_fs(int session_dirfd, const char *session_path, struct err *err)
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

int overlay_make_uppers(struct overlay *o, int session_dirfd)
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
	cleanup_fd int fd =
		openat(session_dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	cleanup_dir DIR *dir = fdopendir(fd);
	if (!dir)
		return false;
	fd = -1; /* the stream owns it */
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

/* A session that is entered again keeps the number of each layer. */
static int number_layers(struct overlay *o, int session_dirfd, struct err *err)
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

/* Was it somebody's temporary mount, gone with its directory since the mounts were listed? */
static bool went_away(const struct overlay *o, const struct overlay_layer *l)
{
	return l != o->layers && access(l->lower, F_OK) < 0 && errno == ENOENT;
}

static void drop_layer(struct overlay *o, unsigned i)
{
	struct overlay_layer *l = &o->layers[i];
	free(l->mount);
	free(l->lower);
	scope_close(&l->upper_fd);
	memmove(l, l + 1, (o->count - i - 1) * sizeof(*l));
	o->count--;
}

static int mount_rootful(const struct overlay_request *req, struct overlay *o, struct err *err)
{
	o->detached_fd = make_overlay(req, &o->layers[0], o->layers[0].lower, true, err);
	if (o->detached_fd < 0)
		return o->detached_fd;
	for (unsigned i = 1; i < o->count;) {
		struct overlay_layer *l = &o->layers[i];
		l->mount_fd = make_overlay(req, l, l->lower, true, NULL);
		if (l->mount_fd >= 0) {
			i++;
			continue;
		}
		if (went_away(o, l)) {
			drop_layer(o, i);
			continue;
		}
		/* vfat, some FUSE: no lower of an overlay; seen, but not writable */
		size_t len = strlen(o->notice);
		snprintf(o->notice + len, sizeof(o->notice) - len, "%s%s", len ? ", " : "",
			 l->mount);
		int rc = overlay_add_entry(o, OVERLAY_ENTRY_BIND, l->mount, NULL, 0755);
		if (rc < 0)
			return err_sys(err, -rc, "overlay");
		drop_layer(o, i);
	}
	return 0;
}

static int sum_of_mounts(const struct mount_table *t, const struct overlay_request *req,
			 uint64_t *ret)
{
	char stage[PATH_MAX];
	if (snprintf(stage, sizeof(stage), "%s/root", req->session_path) >= (int)sizeof(stage))
		return -ENAMETOOLONG;
	*ret = mount_table_sum(t, stage);
	return 0;
}

/* Has a mount come or gone since it was planned? */
static bool mounts_changed(const struct overlay *o, const struct overlay_request *req)
{
	struct mount_table now = { 0 };
	uint64_t sum;
	bool changed = mount_table_read(&now, NULL) == 0 && sum_of_mounts(&now, req, &sum) == 0 &&
		       sum != o->mounts;
	mount_table_finish(&now);
	return changed;
}

static int prepare(const struct overlay_request *req, struct overlay *ret, struct err *err)
{
	struct mount_table mounts = { 0 };
	*ret = (struct overlay){ .detached_fd = -1, .rootful = is_rootful() };
	int rc = mount_table_read(&mounts, err);
	if (rc == 0)
		rc = sum_of_mounts(&mounts, req, &ret->mounts);
	if (rc < 0)
		return rc;
	if (req->rootfs)
		rc = overlay_plan_image(&mounts, req, ret, err);
	else
		rc = ret->rootful ? overlay_plan_rootful(&mounts, ret, err)
				  : overlay_plan_forest(&mounts, req->writable, ret, err);
	mount_table_finish(&mounts);
	if (rc == 0) {
		rc = number_layers(ret, req->session_dirfd, err);
		int made = rc < 0 ? 0 : overlay_make_uppers(ret, req->session_dirfd);
		if (made < 0)
			rc = err_sys(err, -made, "overlay: cannot make the layers in %s",
				     req->session_path);
	}
	if (rc == 0 && req->rootfs)
		rc = overlay_make_image_template(req, ret->rootful, err);
	if (rc == 0 && ret->rootful)
		rc = mount_rootful(req, ret, err);
	return rc;
}

int overlay_prepare(const struct overlay_request *req, struct overlay *ret, struct err *err)
{
	int rc = check_state_fs(req->session_dirfd, req->session_path, err);
	if (rc < 0)
		return rc;
	for (unsigned tries = 1;; tries++) {
		rc = prepare(req, ret, err);
		if (rc == 0)
			return 0;
		bool again = tries < OVERLAY_TRIES && mounts_changed(ret, req);
		overlay_finish(ret);
		if (!again)
			return rc;
	}
}

/* @newroot + @path, where neither ends in a slash. */
static int under(char *out, size_t size, const char *newroot, const char *path)
{
	int n = snprintf(out, size, "%s%s", newroot, path[1] ? path : "");
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

static int bind_tree(const char *from, const char *to, uint64_t attr)
{
	/* AT_RECURSIVE: a copied tree has locked children, which cannot be left out (EINVAL) */
	cleanup_fd int fd = (int)syscall(SYS_open_tree, AT_FDCWD, from,
					 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE |
						 AT_SYMLINK_NOFOLLOW);
	if (fd < 0)
		return -errno;
	struct mount_attr set = { .attr_set = attr };
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof(set)) < 0)
		return -errno;
	if (move_mount(fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* The empty directory tree that the skeleton overlay of a forest stands on. */
static int make_template(const struct overlay *o, const char *template)
{
	char path[PATH_MAX];
	if (mkdir(template, 0700) < 0)
		return -errno;
	for (unsigned i = 0; i < o->entry_count; i++) {
		const struct overlay_entry *e = &o->entries[i];
		struct stat st;
		int rc = under(path, sizeof(path), template, e->path);
		if (rc < 0)
			return rc;
		bool dir = e->kind == OVERLAY_ENTRY_DIR;
		if (e->kind == OVERLAY_ENTRY_BIND && lstat(e->path, &st) == 0)
			dir = S_ISDIR(st.st_mode);
		if (e->kind == OVERLAY_ENTRY_SYMLINK)
			rc = symlink(e->target, path);
		else if (dir)
			rc = mkdir(path, 0700);
		else
			rc = mknod(path, S_IFREG | 0400, 0);
		if (rc < 0)
			return -errno;
	}
	/* modes last: a directory without write permission would refuse its entries */
	for (unsigned i = o->entry_count; i-- > 0;) {
		const struct overlay_entry *e = &o->entries[i];
		if (e->kind == OVERLAY_ENTRY_DIR &&
		    under(path, sizeof(path), template, e->path) == 0 && chmod(path, e->mode) < 0)
			return -errno;
	}
	return 0;
}

/* Onto a directory of the new root that is reached through no link: an upper may hold some by now. */
static int attach(int mount_fd, const char *newroot, const char *path, struct err *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	cleanup_fd int root = open(newroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int to = root < 0 ? -1
			    : !path[1]
				    ? take_fd(&root)
				    : (int)syscall(SYS_openat2, root, path + 1, &how, sizeof(how));
	if (to < 0 ||
	    move_mount(mount_fd, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(err, errno, "overlay: cannot attach the layer of %s", path);
	return 0;
}

static int mount_layers(struct overlay *o, const struct overlay_request *req, const char *newroot,
			struct err *err)
{
	if (o->rootful) {
		int rc = attach(o->detached_fd, newroot, "/", err);
		for (unsigned i = 1; rc == 0 && i < o->count; i++) {
			const struct overlay_layer *l = &o->layers[i];
			rc = attach(l->mount_fd, newroot, l->mount, err);
			if (rc == -ENOENT && went_away(o, l))
				rc = 0;
		}
		return rc;
	}
	char template[PATH_MAX];
	if (snprintf(template, sizeof(template), "%s.template", newroot) >= (int)sizeof(template))
		return err_sys(err, ENAMETOOLONG, "overlay: %s", newroot);
	int rc = req->rootfs ? 0 : make_template(o, template);
	if (rc < 0)
		return err_sys(err, -rc, "overlay: cannot make the skeleton of the new root");
	for (unsigned i = 0; i < o->count; i++) {
		const struct overlay_layer *l = &o->layers[i];
		cleanup_fd int fd = make_overlay(
			req, l, i == 0 && !req->rootfs ? template : l->lower, false, err);
		rc = fd < 0 ? fd : attach(fd, newroot, l->mount, err);
		if (rc < 0 && !went_away(o, l))
			return rc;
	}
	return 0;
}

/* Binds a path of the new root over itself, read-only. Links of an image lead nowhere else. */
static int freeze(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	cleanup_fd int at = fd_openat2(root, path, &how);
	if (at < 0)
		return at;
	cleanup_fd int fd =
		(int)syscall(SYS_open_tree, at, "",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
	struct mount_attr set = { .attr_set = layer_attr | MOUNT_ATTR_RDONLY };
	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof(set)) < 0 ||
	    move_mount(fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int mount_all(struct overlay *o, const struct overlay_request *req, const char *newroot,
		     struct err *err)
{
	char to[PATH_MAX];
	int rc = mount_layers(o, req, newroot, err);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < o->entry_count; i++) {
		const struct overlay_entry *e = &o->entries[i];
		if (e->kind != OVERLAY_ENTRY_BIND || under(to, sizeof(to), newroot, e->path) < 0)
			continue;
		rc = bind_tree(e->path, to, layer_attr | MOUNT_ATTR_RDONLY);
		if (rc < 0 && rc != -ENOENT && rc != -EACCES)
			return err_sys(err, -rc, "overlay: cannot show %s", e->path);
	}
	for (unsigned i = 0; req->direct && req->direct[i]; i++) {
		rc = under(to, sizeof(to), newroot, req->direct[i]);
		if (rc == 0)
			rc = bind_tree(req->direct[i], to, layer_attr);
		if (rc < 0)
			return err_sys(err, -rc, "overlay: cannot show %s directly",
				       req->direct[i]);
	}
	cleanup_fd int root = open(newroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, errno, "overlay: %s", newroot);
	/* from the new root, so that what is read is what the layers say, and host sockets stay dead */
	for (unsigned i = 0; req->read_only && req->read_only[i]; i++) {
		rc = freeze(root, req->read_only[i]);
		if (rc < 0 && rc != -ENOENT)
			return err_sys(err, -rc, "overlay: cannot make %s read-only",
				       req->read_only[i]);
	}
	return 0;
}

int overlay_mount(struct overlay *o, const struct overlay_request *req, const char *newroot,
		  struct err *err)
{
	int rc = mount_all(o, req, newroot, err);
	/* ours is a copy that stands still: what it has is what was there when it was made */
	return rc < 0 && !o->rootful && mounts_changed(o, req) ? -ESTALE : rc;
}

void overlay_finish(struct overlay *o)
{
	for (unsigned i = 0; i < o->count; i++) {
		struct overlay_layer *l = &o->layers[i];
		free(l->mount);
		free(l->lower);
		scope_close(&l->upper_fd);
		scope_close(&l->mount_fd);
	}
	o->count = 0;
	for (unsigned i = 0; i < o->entry_count; i++) {
		free(o->entries[i].path);
		free(o->entries[i].target);
	}
	free(o->entries);
	o->entries = NULL;
	o->entry_count = 0;
	if (o->origins)
		origin_table_finish(o->origins);
	free(o->origins);
	o->origins = NULL;
	scope_close(&o->detached_fd);
	o->detached_fd = -1;
}

int overlay_discard(int session_dirfd, struct err *err)
{
	int rc = remove_tree(session_dirfd, "layers");
	if (rc == 0 && unlinkat(session_dirfd, "layers.json", 0) < 0 && errno != ENOENT)
		rc = -errno;
	if (rc < 0)
		return err_sys(err, -rc, "overlay: cannot remove the layers");
	return 0;
}
