/*
 * A session's changes as an OCI image layout: SNAPSHOTS/NAME/{oci-layout,index.json,blobs/}.
 *
 * Theory of operation. All uppers of a session become one layer with full paths from `/`: tar
 * with zstd, in the order of names, whiteouts as OCI writes them, so the same upper gives the same
 * bytes. The manifest's annotations say whose it is and where its event log stood. Written beside as
 * .NAME.tmp, flushed, renamed: a torn one is never listed. Restoring hashes the layer while it unpacks it, and
 * the plan of layers is written last, when all is there and the digests are right.
 * Only for the archive program: pulls in libarchive and libzstd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/oci_blob.h"
#include "rootfs/unpack.h"

/* Annotations of ours begin with this. */
#define SNAPSHOT_KEY "io.vsandbox."

/* The file of a session that commit holds the host against; it comes along where there is one. */
#define SNAPSHOT_ORIGINS "origins"

struct snapshot_annotation {
	const char *key, *value; /* borrowed */
};

typedef void snapshot_progress(uint64_t entries, uint64_t bytes, void *arg);

struct snapshot_request {
	int session_dirfd; /* an ended or frozen session, with layers.json and session.json */
	int snapshots_fd;
	const char *name;
	const struct snapshot_annotation *annotations;
	unsigned annotation_count;
	snapshot_progress *progress; /* may be NULL */
	void *arg;
};

struct snapshot_made {
	char manifest[OCI_DIGEST_SIZE];
	struct oci_blob layer;
	uint64_t entries, bytes; /* of files, holes included */
	uint64_t sockets;        /* left out: an archive cannot hold them */
};

/* -EEXIST: there is one of that name. */
int snapshot_write(const struct snapshot_request *req, struct snapshot_made *ret, struct err *err);

/* Writes one layer of @overlay's uppers into @fd. Part of snapshot_write. */
struct overlay;
int snapshot_layer_write(const struct overlay *o, int fd, snapshot_progress *progress, void *arg,
			 struct snapshot_made *ret, struct err *err);

/* One that is opened: its manifest, with the digests from the index on checked, and its layer's file. */
struct snapshot {
	int dirfd;   /* owned */
	int blob_fd; /* owned */
	char digest[OCI_DIGEST_SIZE];
	struct oci_manifest manifest; /* owned */
	char diff_id[OCI_DIGEST_SIZE];
};
/* -ENOENT none of that name; -EBADMSG with what does not match. */
int snapshot_open(int snapshots_fd, const char *name, struct snapshot *ret, struct err *err);
void snapshot_close(struct snapshot *s);

/* Reads the whole layer and checks both digests. */
int snapshot_verify(const struct snapshot *s, struct oci_blob *ret, struct err *err);

/* What a layer holds, for comparisons. Strings valid during the call. */
struct snapshot_entry {
	const char *path; /* as in the sandbox, without the leading slash; "" the root */
	enum unpack_name kind;
	unsigned mode; /* type and permissions */
	uint64_t uid, gid;
	int64_t size;
	int64_t mtime_s, mtime_ns;
	const char *target; /* of a symbolic or hard link; NULL none */
	bool hard_link;
	char digest[OCI_DIGEST_SIZE]; /* of a file's bytes; "" none */
};
int snapshot_entries(const struct snapshot *s,
		     int (*visit)(const struct snapshot_entry *e, void *arg), void *arg,
		     struct err *err);

/*
 * Replays it into a fresh session: makes layers/ there, and layers.json last. The caller
 * removes layers/ when it fails.
 */
int snapshot_restore(const struct snapshot *s, int session_dirfd, snapshot_progress *progress,
		     void *arg, struct unpack_counts *ret, struct err *err);
