#include "rootfs/oci_blob.h"

#include <archive.h>
#include <inttypes.h>
#include <string.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { CHUNK = 256 << 10, ZSTD_LEVEL = 3 };

struct oci_blob_writer {
	int fd;                  /* borrowed */
	struct archive *archive; /* owned */
	ZSTD_CCtx *zstd;         /* owned */
	char *out;               /* owned, ZSTD_CStreamOutSize() */
	struct hash raw, stored;
	uint64_t raw_bytes, stored_bytes;
	int rc; /* -errno of our own writing */
};

static const char algorithm[] = "sha256:";

void oci_digest_end(struct hash *d, char ret[static OCI_DIGEST_SIZE])
{
	memcpy(ret, algorithm, sizeof(algorithm) - 1);
	hash_end_hex(d, ret + sizeof(algorithm) - 1);
}

void oci_digest_of(const void *bytes, size_t len, char ret[static OCI_DIGEST_SIZE])
{
	struct hash d;
	hash_begin(&d);
	hash_add(&d, bytes, len);
	oci_digest_end(&d, ret);
}

int oci_blob_copy(int in, int out, struct oci_descriptor *ret)
{
	struct hash sum;
	cleanup_free char *bytes = malloc(CHUNK);
	struct oci_descriptor d = { .size = 0 };
	ssize_t n = bytes ? 1 : -1;
	int rc = bytes ? 0 : -ENOMEM;
	hash_begin(&sum);
	while (rc == 0 && n != 0) {
		n = read(in, bytes, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -errno : out < 0 ? 0 : fd_write_all(out, bytes, (size_t)n);
		if (rc == 0) {
			hash_add(&sum, bytes, (size_t)n);
			d.size += (uint64_t)n;
		}
	}
	oci_digest_end(&sum, d.digest);
	*ret = d;
	return rc;
}

static int compress(struct oci_blob_writer *w, const void *bytes, size_t len,
		    ZSTD_EndDirective mode)
{
	ZSTD_inBuffer in = { bytes, len, 0 };
	size_t left;
	do {
		ZSTD_outBuffer out = { w->out, ZSTD_CStreamOutSize(), 0 };
		left = ZSTD_compressStream2(w->zstd, &out, &in, mode);
		if (ZSTD_isError(left))
			return -EIO;
		hash_add(&w->stored, w->out, out.pos);
		w->stored_bytes += out.pos;
		int rc = fd_write_all(w->fd, w->out, out.pos);
		if (rc < 0)
			return rc;
	} while (mode == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static la_ssize_t on_write(struct archive *a, void *arg, const void *bytes, size_t len)
{
	struct oci_blob_writer *w = arg;
	hash_add(&w->raw, bytes, len);
	w->raw_bytes += len;
	w->rc = compress(w, bytes, len, ZSTD_e_continue);
	if (w->rc == 0)
		return (la_ssize_t)len;
	archive_set_error(a, -w->rc, "%s", strerrordesc_np(-w->rc));
	return -1;
}

static void writer_free(struct oci_blob_writer *w)
{
	if (w->archive)
		archive_write_free(w->archive);
	ZSTD_freeCCtx(w->zstd);
	free(w->out);
	free(w);
}

int oci_blob_create(int fd, struct oci_blob_writer **ret, struct archive **ret_archive,
		    struct err *err)
{
	struct oci_blob_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return err_sys(err, ENOMEM, "cannot write a layer");
	w->fd = fd;
	w->zstd = ZSTD_createCCtx();
	w->out = malloc(ZSTD_CStreamOutSize());
	w->archive = archive_write_new();
	hash_begin(&w->raw);
	hash_begin(&w->stored);
	if (!w->zstd || !w->out || !w->archive ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1)) ||
	    archive_write_set_format_pax(w->archive) != ARCHIVE_OK ||
	    /* attributes once, under the name that other readers know */
	    archive_write_set_options(w->archive, "pax:xattrheader=SCHILY") != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(w->archive, CHUNK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(w->archive, 1) != ARCHIVE_OK ||
	    archive_write_open2(w->archive, w, NULL, on_write, NULL, NULL) != ARCHIVE_OK) {
		writer_free(w);
		return err_set(err, EIO, "cannot write a layer: libarchive or libzstd refuses");
	}
	*ret = w;
	*ret_archive = w->archive;
	return 0;
}

int oci_blob_close(struct oci_blob_writer *w, struct oci_blob *ret, struct err *err)
{
	int rc = archive_write_close(w->archive) == ARCHIVE_OK ? 0 : w->rc ? w->rc : -EIO;
	if (rc == 0)
		rc = compress(w, "", 0, ZSTD_e_end);
	if (rc == 0) {
		*ret = (struct oci_blob){ .stored.size = w->stored_bytes, .bytes = w->raw_bytes };
		oci_digest_end(&w->raw, ret->diff_id);
		oci_digest_end(&w->stored, ret->stored.digest);
	}
	writer_free(w);
	return rc < 0 ? err_sys(err, -rc, "cannot write the layer") : 0;
}

struct oci_blob_reader {
	int fd;                /* borrowed */
	struct archive *inner; /* decompresses; owned */
	struct archive *outer; /* the tar; owned */
	struct oci_blob_limits limits;
	struct hash raw, stored;
	uint64_t raw_bytes, stored_bytes;
	bool ended;
	struct err why; /* what we refused ourselves; "" nothing */
	char in[CHUNK], out[CHUNK];
};

static la_ssize_t read_file(struct archive *a, void *arg, const void **ret)
{
	struct oci_blob_reader *r = arg;
	ssize_t n;
	do
		n = pread(r->fd, r->in, sizeof(r->in), (off_t)r->stored_bytes);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		archive_set_error(a, errno, "%s", strerrordesc_np(errno));
		return -1;
	}
	hash_add(&r->stored, r->in, (size_t)n);
	r->stored_bytes += (uint64_t)n;
	*ret = r->in;
	return n;
}

/* The decompressed bytes: counted and hashed before the tar reader sees them. */
static la_ssize_t read_inner(struct archive *a, void *arg, const void **ret)
{
	struct oci_blob_reader *r = arg;
	la_ssize_t n = r->ended ? 0 : archive_read_data(r->inner, r->out, sizeof(r->out));
	if (n < 0) {
		const char *text = archive_error_string(r->inner);
		err_set(&r->why, EBADMSG, "damaged or truncated: %.200s",
			text ? text : "no reason given");
		archive_set_error(a, EBADMSG, "%s", r->why.text);
		return -1;
	}
	r->ended |= n == 0;
	hash_add(&r->raw, r->out, (size_t)n);
	r->raw_bytes += (uint64_t)n;
	if (r->raw_bytes > r->limits.bytes)
		err_set(&r->why, EFBIG, "more than %" PRIu64 " bytes when decompressed",
			r->limits.bytes);
	else if (r->raw_bytes > OCI_BLOB_RATIO_FROM &&
		 r->raw_bytes / r->limits.ratio > r->stored_bytes)
		err_set(&r->why, EFBIG,
			"a bomb: %" PRIu64 " bytes out of %" PRIu64 ", more than %u to 1",
			r->raw_bytes, r->stored_bytes, r->limits.ratio);
	if (r->why.text[0]) {
		archive_set_error(a, EFBIG, "%s", r->why.text);
		return -1;
	}
	*ret = r->out;
	return n;
}

int oci_blob_open(int fd, const struct oci_blob_limits *limits, struct oci_blob_reader **ret,
		  struct archive **ret_archive, struct err *err)
{
	struct oci_blob_reader *r = calloc(1, sizeof(*r));
	struct archive_entry *entry;
	if (!r)
		return err_sys(err, ENOMEM, "cannot read a layer");
	r->fd = fd;
	r->limits = *limits;
	hash_begin(&r->raw);
	hash_begin(&r->stored);
	struct archive *in = r->inner = archive_read_new();
	struct archive *out = r->outer = archive_read_new();
	if (!in || !out || archive_read_support_filter_gzip(in) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(in) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(in) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(in) != ARCHIVE_OK ||
	    archive_read_support_format_raw(in) != ARCHIVE_OK ||
	    archive_read_support_format_tar(out) != ARCHIVE_OK) {
		oci_blob_free(r);
		return err_set(err, ENOTSUP, "this libarchive lacks gzip, zstd, xz or bzip2");
	}
	int rc = 0;
	if (archive_read_open(in, r, NULL, read_file, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(in, &entry) != ARCHIVE_OK) {
		const char *text = archive_error_string(in);
		rc = err_set(err, EBADMSG, "neither a tar nor a compressed one: %.200s",
			     text ? text : "it is empty");
	} else if (archive_read_open(out, r, NULL, read_inner, NULL) != ARCHIVE_OK) {
		rc = oci_blob_error(r, err, "no tar");
	}
	if (rc < 0) {
		oci_blob_free(r);
		return rc;
	}
	*ret = r;
	*ret_archive = out;
	return 0;
}

int oci_blob_error(const struct oci_blob_reader *r, struct err *err, const char *what)
{
	const char *text = archive_error_string(r->outer);
	if (r->why.text[0])
		return err_set(err, EBADMSG, "%.200s: %s", what, r->why.text);
	return err_set(err, EBADMSG, "%.200s: %.200s", what, text ? text : "damaged");
}

int oci_blob_drain(struct oci_blob_reader *r, struct oci_blob *ret, struct err *err)
{
	const void *bytes;
	la_ssize_t n;
	/* past the tar's end: what follows is part of the digest too */
	while ((n = read_inner(r->outer, r, &bytes)) > 0)
		;
	/* and a compressed file may be followed by something that is not */
	while (n == 0 && (n = read_file(r->outer, r, &bytes)) > 0)
		;
	if (n < 0)
		return oci_blob_error(r, err, "the end of the archive");
	*ret = (struct oci_blob){ .stored.size = r->stored_bytes, .bytes = r->raw_bytes };
	oci_digest_end(&r->raw, ret->diff_id);
	oci_digest_end(&r->stored, ret->stored.digest);
	return 0;
}

void oci_blob_free(struct oci_blob_reader *r)
{
	if (!r)
		return;
	if (r->outer)
		archive_read_free(r->outer);
	if (r->inner)
		archive_read_free(r->inner);
	free(r);
}
