#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/scope.h"
#include "rootfs/oci_blob.h"
#include "rootfs/overlay.h"
#include "rootfs/snapshot.h"

/* What an agent can leave is bounded by its disk; a path by the walk that wrote it. */
static const struct unpack_limits limits = {
	.entries = 100000000,
	.bytes = UINT64_C(1) << 62,
	.path_len = 1 << 17,
	.depth = 1 << 16,
};
/* Holes compress without end: the size of a snapshot says nothing against it. */
static const struct oci_blob_limits blob_limits = { .bytes = UINT64_C(1) << 62,
						    .ratio = UINT32_MAX };

/* A blob whose bytes are what its name says. An owned, NUL-terminated text. */
static int read_blob(int dirfd, const struct oci_descriptor *d, char **ret, struct err *err)
{
	char path[192], digest[OCI_DIGEST_SIZE];
	if (d->size > OCI_JSON_MAX)
		return err_set(err, EBADMSG, "%s is longer than %d bytes", d->digest, OCI_JSON_MAX);
	snprintf(path, sizeof(path), "blobs/sha256/%s", d->digest + 7);
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *text = fd < 0 ? NULL : malloc(d->size + 1);
	if (!text)
		return fd < 0 ? err_set(err, EBADMSG, "the blob %s is missing: %s", d->digest,
					strerrordesc_np(errno))
			      : err_sys(err, ENOMEM, "snapshot");
	ssize_t n = read(fd, text, d->size + 1);
	oci_digest_of(text, n < 0 ? 0 : (size_t)n, digest);
	if (n != (ssize_t)d->size || strcmp(digest, d->digest) != 0)
		return err_set(err, EBADMSG, "the blob %s is not what was written", d->digest);
	text[n] = '\0';
	*ret = take_ptr(text);
	return 0;
}

static int read_index(int dirfd, struct oci_descriptor *ret, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, "index.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *text = malloc(OCI_JSON_MAX + 1);
	cleanup_free struct oci_index *index = malloc(sizeof(*index));
	if (!text || !index)
		return err_sys(err, ENOMEM, "snapshot");
	ssize_t n = fd < 0 ? -1 : read(fd, text, OCI_JSON_MAX + 1);
	if (n < 0)
		return err_set(err, EBADMSG, "index.json cannot be read: %s",
			       strerrordesc_np(errno));
	int rc = oci_index_parse(text, (size_t)n, index, err);
	if (rc < 0)
		return rc;
	const struct oci_reference *r = oci_index_choose(index, NULL, err);
	if (!r || r->is_index)
		return r ? err_set(err, EBADMSG, "index.json leads to another index") : -EBADMSG;
	*ret = r->descriptor;
	return 0;
}

static int open_parts(struct snapshot *s, struct err *err)
{
	struct oci_descriptor d;
	cleanup_free char *text = NULL;
	cleanup_free char *config_text = NULL;
	struct oci_config config;
	char path[192];
	int rc = read_index(s->dirfd, &d, err);
	if (rc == 0)
		rc = read_blob(s->dirfd, &d, &text, err);
	if (rc == 0)
		rc = oci_manifest_parse(text, d.size, &s->manifest, err);
	if (rc < 0)
		return rc;
	memcpy(s->digest, d.digest, sizeof(s->digest));
	if (s->manifest.layer_count != 1)
		return err_set(err, EBADMSG, "it is no snapshot: it has %u layers",
			       s->manifest.layer_count);
	rc = read_blob(s->dirfd, &s->manifest.config, &config_text, err);
	if (rc == 0)
		rc = oci_config_parse(config_text, s->manifest.config.size, &config, err);
	if (rc < 0)
		return rc;
	if (config.diff_id_count == 1)
		memcpy(s->diff_id, config.diff_ids[0], sizeof(s->diff_id));
	oci_config_finish(&config);
	if (!s->diff_id[0])
		return err_set(err, EBADMSG, "it is no snapshot: its config names no layer");
	snprintf(path, sizeof(path), "blobs/sha256/%s", s->manifest.layers[0].digest + 7);
	s->blob_fd = openat(s->dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (s->blob_fd < 0)
		return err_set(err, EBADMSG, "its layer is missing: %s", strerrordesc_np(errno));
	return 0;
}

int snapshot_open(int snapshots_fd, const char *name, struct snapshot *ret, struct err *err)
{
	struct snapshot s = { .dirfd = -1, .blob_fd = -1 };
	struct err why = { "" };
	s.dirfd = openat(snapshots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s.dirfd < 0)
		return errno == ENOENT ? err_set(err, ENOENT, "there is no snapshot '%.64s'", name)
				       : err_sys(err, errno, "snapshot %.64s", name);
	int rc = open_parts(&s, &why);
	if (rc < 0) {
		snapshot_close(&s);
		return err_set(err, -rc, "snapshot %.64s: %s", name, why.text);
	}
	*ret = s;
	return 0;
}

void snapshot_close(struct snapshot *s)
{
	scope_close(&s->dirfd);
	scope_close(&s->blob_fd);
	oci_manifest_finish(&s->manifest);
	s->dirfd = s->blob_fd = -1;
}

/* After the last byte: is it the layer that the manifest means? */
static int check_layer(const struct snapshot *s, struct oci_blob_reader *r, struct oci_blob *ret,
		       struct err *err)
{
	int rc = oci_blob_drain(r, ret, err);
	if (rc < 0)
		return rc;
	if (strcmp(ret->stored.digest, s->manifest.layers[0].digest) != 0)
		return err_set(err, EBADMSG, "the layer is not what was written: its digest is %s",
			       ret->stored.digest);
	if (strcmp(ret->diff_id, s->diff_id) != 0)
		return err_set(err, EBADMSG, "the layer's content has the digest %s, not %s",
			       ret->diff_id, s->diff_id);
	return 0;
}

/* @out -1: only checked. */
static int copy_origins(const struct snapshot *s, int out, struct err *err)
{
	const char *digest = oci_annotation(&s->manifest, SNAPSHOT_KEY "origins");
	struct oci_descriptor d;
	char path[192];
	if (!digest)
		return 0;
	if (!oci_digest_valid(digest))
		return err_set(err, EBADMSG, "the digest of its origins is none");
	snprintf(path, sizeof(path), "blobs/sha256/%s", digest + 7);
	cleanup_fd int in = openat(s->dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return err_set(err, EBADMSG, "its origins are missing: %s", strerrordesc_np(errno));
	int rc = oci_blob_copy(in, out, &d);
	if (rc < 0)
		return err_sys(err, -rc, "cannot copy its origins");
	if (strcmp(d.digest, digest) != 0)
		return err_set(err, EBADMSG, "its origins are not what was written");
	return 0;
}

int snapshot_verify(const struct snapshot *s, struct oci_blob *ret, struct err *err)
{
	struct oci_blob_reader *r = NULL;
	struct archive *a;
	int rc = oci_blob_open(s->blob_fd, &blob_limits, &r, &a, err);
	if (rc == 0)
		rc = check_layer(s, r, ret, err);
	oci_blob_free(r);
	return rc == 0 ? copy_origins(s, -1, err) : rc;
}

static int hash_data(struct archive *a, int64_t size, char ret[static OCI_DIGEST_SIZE],
		     struct err *err)
{
	static const char zeros[65536];
	struct hash sum;
	const void *bytes;
	size_t len;
	la_int64_t offset, at = 0;
	int r;
	hash_begin(&sum);
	for (;;) {
		r = archive_read_data_block(a, &bytes, &len, &offset);
		la_int64_t until = r == ARCHIVE_OK ? offset : size;
		while (at < until) { /* a hole reads as zeros */
			size_t n = until - at < (la_int64_t)sizeof(zeros) ? (size_t)(until - at)
									  : sizeof(zeros);
			hash_add(&sum, zeros, n);
			at += (la_int64_t)n;
		}
		if (r != ARCHIVE_OK)
			break;
		hash_add(&sum, bytes, len);
		at += (la_int64_t)len;
	}
	oci_digest_end(&sum, ret);
	if (r != ARCHIVE_EOF)
		return err_set(err, EBADMSG, "the layer is damaged: %.200s",
			       archive_error_string(a));
	return 0;
}

static int visit_entry(struct archive *a, struct archive_entry *e, char *path, char *target,
		       int (*visit)(const struct snapshot_entry *e, void *arg), void *arg,
		       struct err *err)
{
	struct snapshot_entry s = {
		.path = path,
		.mode = archive_entry_filetype(e) | archive_entry_perm(e),
		.uid = (uint64_t)archive_entry_uid(e),
		.gid = (uint64_t)archive_entry_gid(e),
		.size = archive_entry_size(e),
		.mtime_s = archive_entry_mtime(e),
		.mtime_ns = archive_entry_mtime_nsec(e),
		.target = archive_entry_symlink(e),
		.hard_link = archive_entry_hardlink(e) != NULL,
	};
	const char *given = archive_entry_pathname(e);
	int rc = unpack_name_clean(given ? given : "", &limits, path, limits.path_len + 1, err);
	if (rc == 0)
		rc = unpack_name_real(UNPACK_UPPER, path, &s.kind, err);
	if (rc == 0 && s.hard_link) {
		enum unpack_name kind;
		rc = unpack_name_clean(archive_entry_hardlink(e), &limits, target,
				       limits.path_len + 1, err);
		if (rc == 0)
			rc = unpack_name_real(UNPACK_UPPER, target, &kind, err);
		s.target = target;
	} else if (rc == 0 && S_ISREG(s.mode) && s.kind == UNPACK_NAME_PLAIN) {
		rc = hash_data(a, s.size, s.digest, err);
	}
	return rc < 0 ? rc : visit(&s, arg);
}

int snapshot_entries(const struct snapshot *s,
		     int (*visit)(const struct snapshot_entry *e, void *arg), void *arg,
		     struct err *err)
{
	struct oci_blob_reader *r = NULL;
	struct archive *a;
	struct archive_entry *e;
	struct oci_blob blob;
	cleanup_free char *path = malloc(limits.path_len + 1);
	cleanup_free char *target = malloc(limits.path_len + 1);
	if (!path || !target)
		return err_sys(err, ENOMEM, "snapshot");
	int rc = oci_blob_open(s->blob_fd, &blob_limits, &r, &a, err), got = ARCHIVE_OK;
	while (rc == 0 &&
	       ((got = archive_read_next_header(a, &e)) == ARCHIVE_OK || got == ARCHIVE_WARN))
		rc = visit_entry(a, e, path, target, visit, arg, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = oci_blob_error(r, err, "the layer");
	if (rc == 0)
		rc = check_layer(s, r, &blob, err);
	oci_blob_free(r);
	return rc;
}

/* layers.json of the snapshot, under a passing name, made into places with empty uppers. */
static int make_layers(const struct snapshot *s, int session_dirfd, struct overlay *o,
		       struct err *err)
{
	const char *text = oci_annotation(&s->manifest, SNAPSHOT_KEY "layers");
	if (!text)
		return err_set(err, EBADMSG, "it does not say where its layers belong");
	cleanup_fd int fd = openat(session_dirfd, "layers.json.new",
				   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	if (rc < 0)
		return err_sys(err, -rc, "cannot write layers.json");
	return overlay_restore(session_dirfd, "layers.json.new", o, err);
}

static int restore_origins(const struct snapshot *s, int session_dirfd, struct err *err)
{
	if (!oci_annotation(&s->manifest, SNAPSHOT_KEY "origins"))
		return 0;
	cleanup_fd int out = openat(session_dirfd, SNAPSHOT_ORIGINS,
				    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return out < 0 ? err_sys(err, errno, "cannot write the origins")
		       : copy_origins(s, out, err);
}

static int unpack_layer(const struct snapshot *s, const struct unpack_plan *plan,
			struct unpack_counts *ret, struct err *err)
{
	struct oci_blob_reader *r = NULL;
	struct unpack *u = NULL;
	struct archive *a;
	struct oci_blob blob;
	int rc = unpack_new(plan, &u, err);
	if (rc == 0)
		rc = oci_blob_open(s->blob_fd, &blob_limits, &r, &a, err);
	if (rc == 0)
		rc = unpack_archive(u, a, UNPACK_ALL, err);
	if (rc == 0)
		rc = check_layer(s, r, &blob, err);
	if (rc == 0)
		rc = unpack_directories(u, err);
	if (rc == 0)
		*ret = *unpack_counted(u);
	unpack_free(u);
	oci_blob_free(r);
	return rc;
}

int snapshot_restore(const struct snapshot *s, int session_dirfd, snapshot_progress *progress,
		     void *arg, struct unpack_counts *ret, struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o));
	cleanup_free struct unpack_place *places = calloc(OVERLAY_LAYERS_MAX, sizeof(*places));
	if (!o || !places) {
		free(o);
		return err_sys(err, ENOMEM, "snapshot");
	}
	int rc = make_layers(s, session_dirfd, o, err);
	for (unsigned i = 0; rc == 0 && i < o->count; i++)
		places[i] = (struct unpack_place){ .prefix = o->layers[i].mount + 1,
						   .dirfd = o->layers[i].upper_fd };
	const struct unpack_plan plan = {
		.kind = UNPACK_UPPER,
		.places = places,
		.place_count = rc == 0 ? o->count : 0,
		.limits = limits,
		.owners = geteuid() == 0,
		.trusted = o->rootful,
		.progress = progress,
		.arg = arg,
	};
	if (rc == 0)
		rc = unpack_layer(s, &plan, ret, err);
	if (rc == 0)
		rc = restore_origins(s, session_dirfd, err);
	if (rc == 0 && (syncfs(session_dirfd) < 0 || renameat(session_dirfd, "layers.json.new",
							      session_dirfd, "layers.json") < 0))
		rc = err_sys(err, errno, "cannot write layers.json");
	overlay_finish(o);
	free(o);
	return rc;
}
