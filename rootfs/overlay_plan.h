/* What the parts of overlay share: mountinfo in, layers and entries out; their uppers; their mounts. Private to rootfs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "base/err.h"
#include "rootfs/overlay.h"

struct mount_point {
	char *path; /* owned */
	char fstype[32];
	uint64_t id, parent; /* parent: the mount it lies on, which the table need not have */
	bool read_only;
};

struct mount_table {
	struct mount_point *items; /* owned */
	size_t count;
};

/* Parses the text of mountinfo; lines that make no sense are -EBADMSG. Pure. */
int mount_table_parse(const char *text, struct mount_table *ret);
int mount_table_read(struct mount_table *ret, struct err *err);
/* The same for the same mount points in any order, but for those of a sandbox's own making at and below @stage. */
uint64_t mount_table_sum(const struct mount_table *t, const char *stage);
void mount_table_finish(struct mount_table *t);

/*
 * A mount that holds no files of a person: proc, sysfs, devtmpfs, cgroup …; or that lies in a directory of such a one
 * (a tmpfs in the /sys of a chroot), and so has no place where that is not carried over. Pure.
 */
bool mount_is_pseudo(const struct mount_table *t, const struct mount_point *m);
/* Mounts the new root makes afresh: /proc, /sys, /dev, /run and all below. Pure. */
bool path_is_fresh(const char *path);

/* Fills @o->layers (without descriptors) and @o->entries. */
int overlay_plan_rootful(const struct mount_table *t, struct overlay *o, struct err *err);
int overlay_plan_forest(const struct mount_table *t, const char *const *writable, struct overlay *o,
			struct err *err);
/* overlay_image.c: the image, the workspace in it, and what is mounted below that. */
int overlay_plan_image(const struct mount_table *t, const struct overlay_request *req,
		       struct overlay *o, struct err *err);
/* SESSION/template: what lies above the image. @owners: root gives directories their owners. */
int overlay_make_image_template(const struct overlay_request *req, bool owners, struct err *err);
/* One more layer, unless @mount has one. */
int overlay_add_layer(struct overlay *o, const char *mount, const char *lower, bool read_only,
		      struct err *err);
int overlay_add_entry(struct overlay *o, enum overlay_entry_kind kind, const char *path,
		      const char *target, mode_t mode);
/* Permission bits for a copy of the directory that the caller will own: no more than he has natively. */
mode_t overlay_own_mode(const char *path, mode_t mode);

/* overlay_uppers.c */
/* Can @session_path keep changes at all? 0, or -EOPNOTSUPP and what to do instead. */
int overlay_uppers_possible(int session_dirfd, const char *session_path, struct err *err);
/*
 * Gives each layer its number; a session that is entered again keeps those it had. -ENOTSUP: it has changes where
 * there is no layer now.
 */
int overlay_uppers_number(struct overlay *o, int session_dirfd, struct err *err);
/* layers/INDEX/{upper,work} of every layer, as far as they are missing, and their descriptors. 0, -errno. */
int overlay_uppers_make(struct overlay *o, int session_dirfd);

/* overlay_layer.c */
enum {
	OVERLAY_MOUNT_ATTR = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
}; /* of all that the new root shows */
/* One detached overlay over @lower. Its mount, the caller's to close, or -errno with the kernel's own words in @err. */
int overlay_layer_mount(const struct overlay *o, const struct overlay_request *req,
			const struct overlay_layer *l, const char *lower, struct err *err);
