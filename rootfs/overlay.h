/*
 * The file layer: every write of the sandbox lands in an upper directory of
 * its session.
 *
 * Theory of operation. Rootful: one overlay of `/`, built detached in the
 * initial user namespace and attached inside. Rootless: lowerdir=/ is refused
 * because the copied mount tree has locked children, so a forest: a skeleton
 * for `/`, then one userxattr overlay for each directory that has no mount below
 * it, derived from mountinfo at each launch. Paths are the same inside and
 * outside. Traps: docs/decisions/overlay.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum {
	OVERLAY_LAYERS_MAX = 256,
	OVERLAY_TRIES = 20, /* while mounts of the host come and go */
};

/* One overlay: what is mounted at @mount, and where its two halves are. */
struct overlay_layer {
	char *mount;    /* absolute path inside, "/" for the rootful one; owned */
	char *lower;    /* host directory under it; owned */
	int upper_fd;   /* O_PATH of the upper on the host; owned, -1 none */
	unsigned index; /* layers/INDEX/{upper,work} in the session directory */
	int mount_fd;   /* rootful, but for "/": the detached mount; owned, -1 else */
	bool read_only; /* the host has it mounted read-only */
};

/* What the new root shows of the host without a layer of its own. */
enum overlay_entry_kind {
	OVERLAY_ENTRY_DIR,     /* skeleton directory: mount point, or parent of some */
	OVERLAY_ENTRY_SYMLINK, /* skeleton symlink */
	OVERLAY_ENTRY_BIND,    /* host file or directory, bound read-only */
};
struct overlay_entry {
	enum overlay_entry_kind kind;
	char *path;   /* absolute; owned */
	char *target; /* symlink text; owned, NULL else */
	mode_t mode;  /* directories and files */
};

struct origin_table;

struct overlay {
	bool rootful;
	unsigned count;
	struct overlay_layer layers[OVERLAY_LAYERS_MAX];
	uint64_t mounts;               /* the host's as they were planned for: mount_table_sum */
	int detached_fd;               /* rootful: the detached mount; owned, -1 else */
	struct overlay_entry *entries; /* parents before children; owned */
	unsigned entry_count;
	struct origin_table
		*origins; /* of a session that was committed meanwhile; owned, NULL else */
	char notice[256]; /* host mounts that are shown read-only for want of a layer; "" none */
};

struct overlay_request {
	const char *rootfs;    /* a directory of the host's to be the root; NULL: the host's own */
	const char *workspace; /* with rootfs: the host directory laid into it at its own path */
	int session_dirfd;     /* layers/ is made here */
	const char *session_path; /* absolute path of the same, for mount options */
	const char *const
		*direct; /* host directories shown read-write without overlay; NULL-terminated */
	const char *const *read_only; /* host directories shown read-only; NULL-terminated */
	/* host directories in which the caller expects to write (workspace, home, temporary): rootless,
	 * those below a parent of a foreign owner get a layer of their own; NULL-terminated, may be NULL */
	const char *const *writable;
	bool volatile_upper; /* discard on exit: no fsync reaches the disk */
};

/* Outside the namespaces, before clone: directories, plan, rootful mount. */
int overlay_prepare(const struct overlay_request *req, struct overlay *ret, struct err *err);

/*
 * Inside the new user and mount namespaces, as its only thread: builds the new root
 * under @newroot (an empty directory on a tmpfs of ours) with every host path that is
 * to be seen, but not /proc /sys /dev /run /dev/shm (box.c makes those). -ESTALE: a mount of the host
 * that came or went since overlay_prepare was in the way; both again, in new namespaces.
 */
int overlay_mount(struct overlay *o, const struct overlay_request *req, const char *newroot,
		  struct err *err);

/* Writes and reads the plan as layers.json in the session directory, for diff, discard and commit. */
int overlay_save(const struct overlay *o, int session_dirfd, struct err *err);
int overlay_load(int session_dirfd, struct overlay *ret, struct err *err);
/*
 * The plan in @name of a session that has no layers yet, with empty uppers made as it says: what a
 * snapshot is unpacked into.
 */
int overlay_restore(int session_dirfd, const char *name, struct overlay *ret, struct err *err);
void overlay_finish(struct overlay *o);

/* Removes layers/ of an ended session, mode-000 work directories included. */
int overlay_discard(int session_dirfd, struct err *err);
