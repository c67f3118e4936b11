/*
 * Undo of the last actions of a session, newest first, through the merged view
 * of its layers: what changes an upper behind a mounted overlay's back loses writes.
 *
 * Nothing in the tree may run meanwhile. Each step looks first whether it finds what the
 * action left; if not, that is drift, which is listed and left. Then it puts back what
 * was there, and looks again. A file that is open somewhere is written in place, so
 * that descriptors and shared mappings see the restored content.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/journal.h"
#include "rootfs/overlay.h"

/* One layer as undo and capture see it. */
struct undo_layer {
	char *mount;      /* absolute path inside; owned */
	size_t mount_len; /* 0 for "/" */
	uint64_t mnt_id;
	int upper_fd, lower_fd; /* O_PATH; owned */
	bool rootful;
	bool bare; /* the lower is a template: nothing of the host's is in it */
	bool real; /* no overlay: the only copy there is; upper_fd is the mount's own root */
};

struct undo_layers {
	struct undo_layer *items; /* owned */
	unsigned count;
};

/* Of a plan that has its uppers open, while its lowers can be named. 0, -errno. */
int undo_layers_open(const struct overlay *o, struct undo_layers *ret, struct err *err);
/*
 * The mounts of this namespace as they are now, without an overlay: what is replaced there is kept
 * always. Kernel file systems and those mounted later are not among them. @proc_fd: a /proc that knows the
 * caller, which that of a container it has entered does not.
 */
int undo_layers_real(int proc_fd, struct undo_layers *ret, struct err *err);
/* Where the layers are mounted below @root_fd: fills in mnt_id. Layers that are not there go. */
int undo_layers_find(struct undo_layers *l, int root_fd, struct err *err);
void undo_layers_close(struct undo_layers *l);
/* The layer mounted with that number. NULL: none of ours. */
const struct undo_layer *undo_layer_by_mount(const struct undo_layers *l, uint64_t mnt_id);
/* @path (canonical, absolute) within its layer, "." for its root. */
const char *undo_layer_path(const struct undo_layer *l, const char *path);
/* Its lower has no such name: what is there now came with the session. False when it cannot be asked. */
bool undo_layer_lower_lacks(const struct undo_layer *l, const char *path);

enum undo_outcome {
	UNDO_RESTORED,
	UNDO_NOTHING, /* the action had not happened, or its effect is gone */
	UNDO_DRIFTED, /* not as the action left it; left alone */
	UNDO_PAST,    /* its pre-image was not kept */
	UNDO_FAILED,
	UNDO_OUTCOME_COUNT,
};
const char *undo_outcome_name(enum undo_outcome outcome);

struct undo_step {
	const struct journal_view *view;
	enum undo_outcome outcome;
	const char *why; /* "" none; valid during the call */
};

struct undo_request {
	uint64_t last;                                         /* how many actions */
	bool dry_run;                                          /* look, touch nothing */
	void (*step)(const struct undo_step *step, void *arg); /* newest first; may be NULL */
	void *arg;
};

struct undo_result {
	uint64_t outcomes[UNDO_OUTCOME_COUNT];
	uint64_t oldest_seq, newest_seq; /* events between which the undone actions lie; 0 none */
	bool untold;    /* the caller could not write down all steps; undo_run does not set it */
	bool continued; /* a rollback that had been interrupted was finished, and no more was done */
};

/*
 * Undoes through the merged view at @root_fd. @session_dirfd holds the journal;
 * @journal is its writer (NULL with dry_run). An interrupted rollback is finished first, and
 * then request->last is not looked at. 0 when all steps were looked at, whatever their
 * outcome; -ENOENT no journal; -errno.
 */
int undo_run(int session_dirfd, int root_fd, const struct undo_layers *layers,
	     struct journal *journal, const struct undo_request *request, struct undo_result *ret,
	     struct err *err);

/* How many actions of a session, after journal record @after, can be undone. 0 when there is no journal. */
uint64_t undo_count(int session_dirfd, uint64_t after);
/* Numbers of the oldest and the newest record that the journal still has. 0, -ENOENT none, -errno. */
int undo_range(int session_dirfd, uint64_t *ret_oldest, uint64_t *ret_newest);
