#include "rootfs/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/origin.h"
#include "rootfs/overlay_plan.h"
#include "rootfs/remove.h"

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
	o->detached_fd = overlay_layer_mount(o, req, &o->layers[0], o->layers[0].lower, err);
	if (o->detached_fd < 0)
		return o->detached_fd;
	for (unsigned i = 1; i < o->count;) {
		struct overlay_layer *l = &o->layers[i];
		l->mount_fd = overlay_layer_mount(o, req, l, l->lower, NULL);
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
		rc = overlay_uppers_number(ret, req->session_dirfd, err);
		int made = rc < 0 ? 0 : overlay_uppers_make(ret, req->session_dirfd);
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
	int rc = overlay_uppers_possible(req->session_dirfd, req->session_path, err);
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
		cleanup_fd int fd = overlay_layer_mount(
			o, req, l, i == 0 && !req->rootfs ? template : l->lower, err);
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
	struct mount_attr set = { .attr_set = OVERLAY_MOUNT_ATTR | MOUNT_ATTR_RDONLY };
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
		rc = bind_tree(e->path, to, OVERLAY_MOUNT_ATTR | MOUNT_ATTR_RDONLY);
		if (rc < 0 && rc != -ENOENT && rc != -EACCES)
			return err_sys(err, -rc, "overlay: cannot show %s", e->path);
	}
	for (unsigned i = 0; req->direct && req->direct[i]; i++) {
		rc = under(to, sizeof(to), newroot, req->direct[i]);
		if (rc == 0)
			rc = bind_tree(req->direct[i], to, OVERLAY_MOUNT_ATTR);
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
