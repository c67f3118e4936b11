#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/overlay.h"
#include "rootfs/remove.h"
#include "rootfs/snapshot.h"

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}\n";

static int write_file(int dirfd, const char *name, const char *text, size_t len, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, len);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	return rc < 0 ? err_sys(err, -rc, "snapshot: cannot write %s", name) : 0;
}

static int make_dir(int dirfd, const char *name, struct err *err)
{
	int fd = -1;
	if (mkdirat(dirfd, name, 0700) == 0)
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "snapshot: cannot make %s", name) : fd;
}

/* A JSON tree as a blob; its descriptor. */
static int write_json_blob(int blobs, struct json_object *o, struct oci_descriptor *ret,
			   struct err *err)
{
	size_t len;
	const char *text =
		json_object_to_json_string_length(o, JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		return err_sys(err, ENOMEM, "snapshot");
	oci_digest_of(text, len, ret->digest);
	ret->size = len;
	return write_file(blobs, ret->digest + 7, text, len, err);
}

static struct json_object *descriptor(const char *type, const struct oci_descriptor *d)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "mediaType", json_object_new_string(type));
	json_object_object_add(o, "digest", json_object_new_string(d->digest));
	json_object_object_add(o, "size", json_object_new_int64((int64_t)d->size));
	return o;
}

static struct json_object *annotations(const struct snapshot_request *req)
{
	struct json_object *o = json_object_new_object();
	for (unsigned i = 0; i < req->annotation_count; i++)
		json_object_object_add(o, req->annotations[i].key,
				       json_object_new_string(req->annotations[i].value));
	return o;
}

/* The text of one of the session's own files as an annotation; a missing one is none. */
static int annotate_file(struct json_object *notes, int dirfd, const char *file, const char *key,
			 struct err *err)
{
	cleanup_fd int fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > OCI_JSON_MAX / 4)
		return err_sys(err, fd < 0 ? errno : EFBIG, "snapshot: cannot read %s", file);
	cleanup_free char *text = malloc((size_t)st.st_size + 1);
	ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n < 0)
		return err_sys(err, errno, "snapshot: cannot read %s", file);
	json_object_object_add(notes, key, json_object_new_string_len(text, (int)n));
	return 0;
}

/*
 * What the host's files were when the session first changed them: without it a commit of the
 * restored session could not tell what somebody else has changed since. A blob of its own beside the image.
 */
static int write_origins(int blobs, int session_dirfd, struct oci_descriptor *ret, struct err *err)
{
	*ret = (struct oci_descriptor){ .size = 0 };
	cleanup_fd int in =
		openat(session_dirfd, SNAPSHOT_ORIGINS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return errno == ENOENT ? 0
				       : err_sys(err, errno, "snapshot: cannot read the origins");
	cleanup_fd int out =
		openat(blobs, "origins", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = out < 0 ? -errno : oci_blob_copy(in, out, ret);
	if (rc == 0 && (fsync(out) < 0 || renameat(blobs, "origins", blobs, ret->digest + 7) < 0))
		rc = -errno;
	return rc < 0 ? err_sys(err, -rc, "snapshot: cannot write the origins") : 0;
}

static int write_config(int blobs, const struct snapshot_made *made,
			const struct snapshot_request *req, struct oci_descriptor *ret,
			struct err *err)
{
#if defined(__aarch64__)
	static const char arch[] = "arm64";
#else
	static const char arch[] = "amd64";
#endif
	struct json_object *o = json_object_new_object();
	for (unsigned i = 0; i < req->annotation_count; i++)
		if (strcmp(req->annotations[i].key, "org.opencontainers.image.created") == 0)
			json_object_object_add(o, "created",
					       json_object_new_string(req->annotations[i].value));
	json_object_object_add(o, "architecture", json_object_new_string(arch));
	json_object_object_add(o, "os", json_object_new_string("linux"));
	json_object_object_add(o, "config", json_object_new_object());
	struct json_object *rootfs = json_object_new_object();
	struct json_object *ids = json_object_new_array();
	json_object_array_add(ids, json_object_new_string(made->layer.diff_id));
	json_object_object_add(rootfs, "type", json_object_new_string("layers"));
	json_object_object_add(rootfs, "diff_ids", ids);
	json_object_object_add(o, "rootfs", rootfs);
	int rc = write_json_blob(blobs, o, ret, err);
	json_object_put(o);
	return rc;
}

static int write_manifest(int blobs, const struct snapshot_made *made,
			  const struct oci_descriptor *config, const struct snapshot_request *req,
			  struct oci_descriptor *ret, struct err *err)
{
	static const char media[] = "application/vnd.oci.image.manifest.v1+json";
	struct json_object *o = json_object_new_object();
	struct json_object *layers = json_object_new_array();
	struct json_object *notes = annotations(req);
	char number[32];
	snprintf(number, sizeof(number), "%" PRIu64, made->entries);
	json_object_object_add(notes, SNAPSHOT_KEY "entries", json_object_new_string(number));
	snprintf(number, sizeof(number), "%" PRIu64, made->bytes);
	json_object_object_add(notes, SNAPSHOT_KEY "bytes", json_object_new_string(number));
	struct oci_descriptor origins;
	int rc = write_origins(blobs, req->session_dirfd, &origins, err);
	if (rc == 0 && origins.digest[0])
		json_object_object_add(notes, SNAPSHOT_KEY "origins",
				       json_object_new_string(origins.digest));
	if (rc == 0)
		rc = annotate_file(notes, req->session_dirfd, "session.json", SNAPSHOT_KEY "start",
				   err);
	if (rc == 0)
		rc = annotate_file(notes, req->session_dirfd, "layers.json", SNAPSHOT_KEY "layers",
				   err);
	json_object_object_add(o, "schemaVersion", json_object_new_int(2));
	json_object_object_add(o, "mediaType", json_object_new_string(media));
	json_object_object_add(o, "config",
			       descriptor("application/vnd.oci.image.config.v1+json", config));
	json_object_array_add(layers, descriptor("application/vnd.oci.image.layer.v1.tar+zstd",
						 &made->layer.stored));
	json_object_object_add(o, "layers", layers);
	json_object_object_add(o, "annotations", notes);
	if (rc == 0)
		rc = write_json_blob(blobs, o, ret, err);
	json_object_put(o);
	return rc;
}

static int write_index(int dirfd, const struct oci_descriptor *manifest, struct err *err)
{
	struct json_object *o = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	struct json_object *row =
		descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
	struct json_object *notes = json_object_new_object();
	json_object_object_add(notes, "org.opencontainers.image.ref.name",
			       json_object_new_string("latest"));
	json_object_object_add(row, "annotations", notes);
	json_object_array_add(rows, row);
	json_object_object_add(o, "schemaVersion", json_object_new_int(2));
	json_object_object_add(o, "manifests", rows);
	size_t len;
	const char *text =
		json_object_to_json_string_length(o, JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	int rc = text ? write_file(dirfd, "index.json", text, len, err)
		      : err_sys(err, ENOMEM, "snapshot");
	json_object_put(o);
	return rc;
}

/* The layer under a passing name: its own is its digest, known at the end. */
static int write_layer(const struct snapshot_request *req, int blobs, struct snapshot_made *made,
		       struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	if (!o)
		return err_sys(err, ENOMEM, "snapshot");
	int rc = overlay_load(req->session_dirfd, o, err);
	if (rc < 0) {
		free(o);
		return rc;
	}
	cleanup_fd int fd = openat(blobs, "layer", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? err_sys(err, errno, "snapshot: cannot make the layer")
		    : snapshot_layer_write(o, fd, req->progress, req->arg, made, err);
	overlay_finish(o);
	free(o);
	if (rc == 0 &&
	    (fsync(fd) < 0 || renameat(blobs, "layer", blobs, made->layer.stored.digest + 7) < 0))
		rc = err_sys(err, errno, "snapshot: cannot write the layer");
	return rc;
}

static int write_layout(const struct snapshot_request *req, int dirfd, struct snapshot_made *made,
			struct err *err)
{
	struct oci_descriptor config, manifest;
	cleanup_fd int blobs = make_dir(dirfd, "blobs", err);
	if (blobs < 0)
		return blobs;
	cleanup_fd int sha256 = make_dir(blobs, "sha256", err);
	if (sha256 < 0)
		return sha256;
	int rc = write_layer(req, sha256, made, err);
	if (rc == 0)
		rc = write_config(sha256, made, req, &config, err);
	if (rc == 0)
		rc = write_manifest(sha256, made, &config, req, &manifest, err);
	if (rc == 0)
		rc = write_file(dirfd, "oci-layout", layout_text, sizeof(layout_text) - 1, err);
	if (rc == 0)
		rc = write_index(dirfd, &manifest, err);
	if (rc == 0 && (fsync(sha256) < 0 || fsync(blobs) < 0 || fsync(dirfd) < 0))
		rc = err_sys(err, errno, "snapshot: cannot flush it to the disk");
	if (rc == 0)
		memcpy(made->manifest, manifest.digest, sizeof(made->manifest));
	return rc;
}

int snapshot_write(const struct snapshot_request *req, struct snapshot_made *ret, struct err *err)
{
	char aside[NAME_MAX + 1];
	struct snapshot_made made = { 0 };
	snprintf(aside, sizeof(aside), ".%.128s.tmp.%d", req->name, getpid());
	cleanup_fd int dirfd = make_dir(req->snapshots_fd, aside, err);
	if (dirfd < 0)
		return dirfd;
	int rc = write_layout(req, dirfd, &made, err);
	if (rc == 0 && syscall(SYS_renameat2, req->snapshots_fd, aside, req->snapshots_fd,
			       req->name, RENAME_NOREPLACE) < 0)
		rc = errno == EEXIST
			     ? err_set(err, EEXIST, "there is a snapshot '%s' already", req->name)
			     : err_sys(err, errno, "snapshot: cannot rename it to %s", req->name);
	if (rc == 0 && fsync(req->snapshots_fd) < 0)
		rc = err_sys(err, errno, "snapshot: cannot flush it to the disk");
	if (rc < 0)
		remove_tree(req->snapshots_fd, aside);
	else
		*ret = made;
	return rc;
}
