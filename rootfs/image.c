#include "rootfs/image.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/oci_blob.h"
#include "rootfs/remove.h"

enum { INDEX_DEPTH_MAX = 4 };

/* Bounds of one whole image; real ones are tens of times below. */
static const struct unpack_limits limits = {
	.entries = 4000000,
	.bytes = UINT64_C(64) << 30,
	.path_len = PATH_MAX - 1,
	.depth = 256,
};
static const struct oci_blob_limits blob_limits = { .bytes = UINT64_C(66) << 30, .ratio = 500 };

/* One import: what the parts share. */
struct import {
	const struct image_request *req;
	int tmp;    /* CACHE/.tmp; owned */
	int layout; /* the directory the blobs are in; owned */
	struct unpack *unpack;
	struct image_made made;
	char *config; /* text; owned */
	size_t config_len;
	struct err *err;
};

static int open_inside(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = O_CLOEXEC | flags,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* A regular file of the layout; what stands there for it may be anything. */
static int open_file(int dirfd, const char *path, const char *what, struct err *err)
{
	struct stat st;
	cleanup_fd int fd = open_inside(dirfd, path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, EBADMSG, "%s %.120s cannot be opened: %s", what, path,
			       strerrordesc_np(-fd));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, EBADMSG, "%s %.120s is no file", what, path);
	return take_fd(&fd);
}

/* An owned, NUL-terminated text of at most OCI_JSON_MAX bytes. */
static int read_text(int dirfd, const char *path, const char *what, char **ret, size_t *ret_len,
		     struct err *err)
{
	cleanup_fd int fd = open_file(dirfd, path, what, err);
	if (fd < 0)
		return fd;
	cleanup_free char *text = malloc(OCI_JSON_MAX + 2);
	ssize_t len = text ? fd_read_all(fd, text, OCI_JSON_MAX + 1) : -ENOMEM;
	if (len < 0)
		return err_sys(err, (int)-len, "cannot read %s", what);
	if (len > OCI_JSON_MAX)
		return err_set(err, EBADMSG, "%s is longer than %d bytes", what, OCI_JSON_MAX);
	text[len] = '\0';
	*ret = take_ptr(text);
	*ret_len = (size_t)len;
	return 0;
}

/* The same of a blob, which must be what its digest says. */
static int read_blob(int dirfd, const struct oci_descriptor *d, const char *what, char **ret,
		     size_t *ret_len, struct err *err)
{
	char path[192], digest[OCI_DIGEST_SIZE];
	snprintf(path, sizeof(path), "blobs/sha256/%s", d->digest + 7);
	int rc = read_text(dirfd, path, what, ret, ret_len, err);
	if (rc < 0)
		return rc;
	oci_digest_of(*ret, *ret_len, digest);
	if (strcmp(digest, d->digest) == 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return err_set(err, EBADMSG, "%s is not what its digest %s says", what, d->digest);
}

/* From the index to the manifest, through indexes of platforms. */
static int find_manifest(struct import *im, struct oci_manifest *ret)
{
	cleanup_free struct oci_index *index = malloc(sizeof(*index));
	const char *tag = im->req->tag, *what = "index.json";
	struct oci_descriptor d = { 0 };
	if (!index)
		return err_sys(im->err, ENOMEM, "image");
	for (unsigned depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
		cleanup_free char *text = NULL;
		size_t len = 0;
		int rc = depth == 0 ? read_text(im->layout, what, "the image index", &text, &len,
						im->err)
				    : read_blob(im->layout, &d, "the image index", &text, &len,
						im->err);
		if (rc == 0)
			rc = oci_index_parse(text, len, index, im->err);
		if (rc < 0)
			return rc;
		const struct oci_reference *r = oci_index_choose(index, tag, im->err);
		if (!r)
			return -EBADMSG;
		d = r->descriptor;
		tag = NULL;
		if (r->is_index)
			continue;
		cleanup_free char *manifest = NULL;
		rc = read_blob(im->layout, &d, "the image manifest", &manifest, &len, im->err);
		return rc < 0 ? rc : oci_manifest_parse(manifest, len, ret, im->err);
	}
	return err_set(im->err, EBADMSG, "its indexes lead from one to another more than %d times",
		       INDEX_DEPTH_MAX);
}

/* chain(n) = sha256(chain(n-1) " " diff_id(n)); what is unpacked is known before it is. */
static void chain_of(const struct oci_config *c, char ret[static OCI_DIGEST_SIZE])
{
	memcpy(ret, c->diff_ids[0], OCI_DIGEST_SIZE);
	for (unsigned i = 1; i < c->diff_id_count; i++) {
		char both[2 * OCI_DIGEST_SIZE + 2];
		int n = snprintf(both, sizeof(both), "%s %s", ret, c->diff_ids[i]);
		oci_digest_of(both, (size_t)n, ret);
	}
}

static bool is_cached(int cache_fd, const char *chain)
{
	char path[192];
	snprintf(path, sizeof(path), "sha256/%s/config.json", chain + 7);
	return faccessat(cache_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* "layer N of M: why". */
static int layer_failed(const struct import *im, unsigned n, int rc, const struct err *why)
{
	return err_set(im->err, -rc, "layer %u of %u: %.400s", n, im->made.layers, why->text);
}

static int unpack_pass(struct import *im, int fd, enum unpack_pass pass, struct oci_blob *ret,
		       struct err *why)
{
	struct oci_blob_reader *r = NULL;
	struct archive *a;
	int rc = oci_blob_open(fd, &blob_limits, &r, &a, why);
	if (rc == 0)
		rc = unpack_archive(im->unpack, a, pass, why);
	if (rc == 0)
		rc = oci_blob_drain(r, ret, why);
	oci_blob_free(r);
	return rc;
}

/* @stored: what the manifest says of the file; NULL when only its content has a digest. */
static int unpack_layer(struct import *im, unsigned n, int fd, const struct oci_descriptor *stored,
			const char *diff_id)
{
	struct oci_blob blob;
	struct err why = { "" };
	int rc = 0;
	/* first what this layer takes away of those below, then what it brings */
	if (n > 0)
		rc = unpack_pass(im, fd, UNPACK_WHITEOUTS_ONLY, &blob, &why);
	if (rc == 0)
		rc = unpack_pass(im, fd, UNPACK_FILES_ONLY, &blob, &why);
	if (rc == 0 && stored && strcmp(blob.stored.digest, stored->digest) != 0)
		rc = err_set(&why, EBADMSG, "its digest is %s, not %s", blob.stored.digest,
			     stored->digest);
	if (rc == 0 && strcmp(blob.diff_id, diff_id) != 0)
		rc = err_set(&why, EBADMSG, "its content has the digest %s, not %s", blob.diff_id,
			     diff_id);
	return rc < 0 ? layer_failed(im, n + 1, rc, &why) : 0;
}

static int write_config(struct import *im)
{
	cleanup_fd int fd =
		openat(im->tmp, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, im->config, im->config_len);
	return rc < 0 ? err_sys(im->err, -rc, "cannot write config.json") : 0;
}

/* CACHE/.tmp becomes CACHE/sha256/CHAIN. */
static int keep(struct import *im)
{
	char path[192];
	int rc = unpack_directories(im->unpack, im->err);
	if (rc == 0)
		rc = write_config(im);
	if (rc == 0 && remove_tree(im->tmp, "stage") < 0)
		rc = err_set(im->err, EIO, "cannot remove what was staged");
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "sha256/%s", im->made.chain + 7);
	if (mkdirat(im->req->cache_fd, "sha256", 0700) < 0 && errno != EEXIST)
		return err_sys(im->err, errno, "cannot make the cache");
	/* a cache that a power cut tore would be trusted by its name */
	if (syncfs(im->req->cache_fd) < 0 ||
	    renameat(im->req->cache_fd, ".tmp", im->req->cache_fd, path) < 0)
		return err_sys(im->err, errno, "cannot keep it in the cache");
	im->made.counts = *unpack_counted(im->unpack);
	return 0;
}

static int start_unpack(struct import *im, int *ret_rootfs)
{
	if (mkdirat(im->tmp, "rootfs", 0755) < 0 || fchmodat(im->tmp, "rootfs", 0755, 0) < 0)
		return err_sys(im->err, errno, "cannot make the cache");
	*ret_rootfs = openat(im->tmp, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_rootfs < 0 ? err_sys(im->err, errno, "cannot open the cache") : 0;
}

static int new_unpack(struct import *im, enum unpack_kind kind, const struct unpack_place *place)
{
	const struct unpack_plan plan = {
		.kind = kind,
		.places = place,
		.place_count = 1,
		.limits = limits,
		.owners = kind == UNPACK_IMAGE && geteuid() == 0,
		.progress = im->req->progress,
		.arg = im->req->arg,
	};
	return unpack_new(&plan, &im->unpack, im->err);
}

/* Opens layer @n: by the manifest of a layout, or by the name that manifest.json gives. */
struct layers {
	const struct oci_manifest *manifest; /* NULL: docker */
	const struct oci_docker *docker;
};
static int open_layer(const struct import *im, const struct layers *l, unsigned n)
{
	char path[192];
	if (l->docker)
		return open_file(im->layout, l->docker->layers[n], "the layer", im->err);
	snprintf(path, sizeof(path), "blobs/sha256/%s", l->manifest->layers[n].digest + 7);
	return open_file(im->layout, path, "the layer", im->err);
}

static int unpack_layers(struct import *im, const struct layers *l, const struct oci_config *c)
{
	cleanup_fd int rootfs = -1;
	int rc = start_unpack(im, &rootfs);
	if (rc < 0)
		return rc;
	const struct unpack_place place = { .prefix = "", .dirfd = rootfs };
	rc = new_unpack(im, UNPACK_IMAGE, &place);
	for (unsigned i = 0; rc == 0 && i < im->made.layers; i++) {
		cleanup_fd int fd = open_layer(im, l, i);
		rc = fd < 0 ? fd
			    : unpack_layer(im, i, fd, l->manifest ? &l->manifest->layers[i] : NULL,
					   c->diff_ids[i]);
	}
	return rc == 0 ? keep(im) : rc;
}

/* Config and layers agree, and are not there yet. */
static int import_layers(struct import *im, const struct layers *l)
{
	struct oci_config c;
	int rc = oci_config_parse(im->config, im->config_len, &c, im->err);
	if (rc < 0)
		return rc;
	im->made.layers = l->docker ? l->docker->layer_count : l->manifest->layer_count;
	if (im->made.layers == 0)
		rc = err_set(im->err, EBADMSG, "the image has no layers");
	else if (c.diff_id_count != im->made.layers)
		rc = err_set(im->err, EBADMSG, "the image has %u layers, its config names %u",
			     im->made.layers, c.diff_id_count);
	if (rc == 0) {
		chain_of(&c, im->made.chain);
		im->made.found = is_cached(im->req->cache_fd, im->made.chain);
		if (!im->made.found)
			rc = unpack_layers(im, l, &c);
	}
	oci_config_finish(&c);
	return rc;
}

static int import_layout(struct import *im)
{
	struct oci_manifest m = { 0 };
	int rc = find_manifest(im, &m);
	if (rc == 0)
		rc = read_blob(im->layout, &m.config, "the image config", &im->config,
			       &im->config_len, im->err);
	if (rc == 0)
		rc = import_layers(im, &(struct layers){ .manifest = &m });
	oci_manifest_finish(&m);
	return rc;
}

static int import_docker(struct import *im)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	struct oci_docker d = { 0 };
	int rc = read_text(im->layout, "manifest.json", "manifest.json", &text, &len, im->err);
	if (rc == 0)
		rc = oci_docker_parse(text, len, im->req->tag, &d, im->err);
	if (rc == 0)
		rc = read_text(im->layout, d.config, "the image config", &im->config,
			       &im->config_len, im->err);
	if (rc == 0)
		rc = import_layers(im, &(struct layers){ .docker = &d });
	oci_docker_finish(&d);
	return rc;
}

/* A root file system as one tar: its content's digest is known when it is unpacked. */
static int import_tarball(struct import *im)
{
	struct oci_blob blob;
	struct err why = { "" };
	cleanup_fd int rootfs = -1;
	char config[256];
	int rc = start_unpack(im, &rootfs);
	if (rc < 0)
		return rc;
	im->made.layers = 1;
	const struct unpack_place place = { .prefix = "", .dirfd = rootfs };
	rc = new_unpack(im, UNPACK_IMAGE, &place);
	if (rc < 0)
		return rc;
	rc = unpack_pass(im, im->req->source_fd, UNPACK_ALL, &blob, &why);
	if (rc < 0)
		return err_set(im->err, -rc, "%s", why.text);
	if (im->unpack && unpack_counted(im->unpack)->entries == 0)
		return err_set(im->err, EBADMSG, "there is nothing in it");
	memcpy(im->made.chain, blob.diff_id, sizeof(im->made.chain));
	int n = snprintf(config, sizeof(config),
			 "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}\n",
			 blob.diff_id);
	im->config = strdup(config);
	im->config_len = (size_t)n;
	if (!im->config)
		return err_sys(im->err, ENOMEM, "image");
	im->made.found = is_cached(im->req->cache_fd, im->made.chain);
	return im->made.found ? 0 : keep(im);
}

enum archive_kind { ARCHIVE_ROOTFS, ARCHIVE_LAYOUT, ARCHIVE_DOCKER };

static bool is_hex_name(const char *name, const char *suffix)
{
	return strspn(name, "0123456789abcdef") == 64 && strcmp(name + 64, suffix) == 0;
}

/* A name that only an archive of an image has; any other settles that it is a root file system. */
static bool is_image_name(const char *path)
{
	char first[NAME_MAX + 1];
	size_t n = strcspn(path, "/");
	memcpy(first, path, n);
	first[n] = '\0';
	if (strcmp(first, "blobs") == 0 || is_hex_name(first, ""))
		return true;
	return !path[n] &&
	       (strcmp(first, "repositories") == 0 || strcmp(first, "oci-layout") == 0 ||
		strcmp(first, "manifest.json") == 0 || strcmp(first, "index.json") == 0 ||
		is_hex_name(first, ".json") || is_hex_name(first, ".tar") ||
		is_hex_name(first, ".tar.gz"));
}

static int sniff(struct import *im, enum archive_kind *ret)
{
	struct oci_blob_reader *r = NULL;
	struct archive *a;
	struct archive_entry *e;
	int rc = oci_blob_open(im->req->source_fd, &blob_limits, &r, &a, im->err), got = 0;
	*ret = ARCHIVE_ROOTFS;
	while (rc == 0 &&
	       ((got = archive_read_next_header(a, &e)) == ARCHIVE_OK || got == ARCHIVE_WARN)) {
		char path[PATH_MAX] = "";
		const char *given = archive_entry_pathname(e);
		struct err ignored;
		if (given && unpack_name_clean(given, &limits, path, sizeof(path), &ignored) == 0 &&
		    !*path)
			continue;
		/* what is wrong with a name is said when it is unpacked */
		if (!given || path[0] == '\0' || !is_image_name(path)) {
			*ret = ARCHIVE_ROOTFS;
			break;
		}
		if (strcmp(path, "oci-layout") == 0)
			*ret = ARCHIVE_LAYOUT;
		else if (strcmp(path, "manifest.json") == 0 && *ret == ARCHIVE_ROOTFS)
			*ret = ARCHIVE_DOCKER;
	}
	if (rc == 0 && got != ARCHIVE_OK && got != ARCHIVE_WARN && got != ARCHIVE_EOF)
		rc = oci_blob_error(r, im->err, "no archive that can be read");
	oci_blob_free(r);
	return rc;
}

/* The files of an image archive, beside what they will become. */
static int stage(struct import *im)
{
	struct oci_blob blob;
	struct err why = { "" };
	if (mkdirat(im->tmp, "stage", 0700) < 0)
		return err_sys(im->err, errno, "cannot make the cache");
	im->layout = openat(im->tmp, "stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->layout < 0)
		return err_sys(im->err, errno, "cannot open the cache");
	const struct unpack_place place = { .prefix = "", .dirfd = im->layout };
	int rc = new_unpack(im, UNPACK_STAGE, &place);
	if (rc == 0) {
		rc = unpack_pass(im, im->req->source_fd, UNPACK_ALL, &blob, &why);
		if (rc < 0)
			rc = err_set(im->err, -rc, "%s", why.text);
	}
	unpack_free(im->unpack);
	im->unpack = NULL;
	return rc;
}

static int import_file(struct import *im)
{
	enum archive_kind kind;
	int rc = sniff(im, &kind);
	if (rc < 0 || kind == ARCHIVE_ROOTFS)
		return rc < 0 ? rc : import_tarball(im);
	rc = stage(im);
	if (rc < 0)
		return rc;
	return kind == ARCHIVE_LAYOUT ? import_layout(im) : import_docker(im);
}

static int import_any(struct import *im)
{
	struct stat st;
	if (fstat(im->req->source_fd, &st) < 0)
		return err_sys(im->err, errno, "image");
	if (S_ISREG(st.st_mode))
		return import_file(im);
	if (!S_ISDIR(st.st_mode))
		return err_set(im->err, EINVAL, "neither a file nor a directory");
	im->layout = fcntl(im->req->source_fd, F_DUPFD_CLOEXEC, 0);
	return im->layout < 0 ? err_sys(im->err, errno, "image") : import_layout(im);
}

int image_import(const struct image_request *req, struct image_made *ret, struct err *err)
{
	struct import im = { .req = req, .tmp = -1, .layout = -1, .err = err };
	cleanup_fd int lock = openat(req->cache_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_sys(err, errno, "cannot lock the cache");
	/* what a killed import left */
	int rc = remove_tree(req->cache_fd, ".tmp");
	if (rc == 0 && mkdirat(req->cache_fd, ".tmp", 0700) < 0)
		rc = -errno;
	if (rc < 0)
		return err_sys(err, -rc, "cannot make room in the cache");
	im.tmp = openat(req->cache_fd, ".tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = im.tmp < 0 ? err_sys(err, errno, "cannot open the cache") : import_any(&im);
	remove_tree(req->cache_fd, ".tmp");
	if (rc == 0)
		*ret = im.made;
	unpack_free(im.unpack);
	free(im.config);
	scope_close(&im.layout);
	scope_close(&im.tmp);
	return rc;
}
