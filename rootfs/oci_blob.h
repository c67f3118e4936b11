/*
 * One layer as bytes. Written: tar, hashed, compressed, hashed again, into a file. Read: the same
 * backwards, so that both digests are known when the last byte is. Only for the archive program: pulls in
 * libarchive and libzstd.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "rootfs/oci.h"

struct archive;
struct oci_blob_writer;
struct oci_blob_reader;

struct oci_blob {
	struct oci_descriptor stored; /* the file: compressed */
	char diff_id[OCI_DIGEST_SIZE];
	uint64_t bytes; /* of the tar */
};

/* A pax tar compressed with zstd into @fd (borrowed). The archive is written through ret_archive. */
int oci_blob_create(int fd, struct oci_blob_writer **ret, struct archive **ret_archive,
		    struct err *err);
/* Ends the tar; the digests. The writer is freed whatever the outcome. */
int oci_blob_close(struct oci_blob_writer *w, struct oci_blob *ret, struct err *err);

/* How much a blob may turn into: a bomb ends here. */
struct oci_blob_limits {
	uint64_t bytes; /* of the tar */
	unsigned ratio; /* tar to file, once it is over OCI_BLOB_RATIO_FROM */
};
enum { OCI_BLOB_RATIO_FROM = 256 << 20 };

/* A tar, plain or compressed with gzip, zstd, xz or bzip2, from the beginning of @fd (borrowed). */
int oci_blob_open(int fd, const struct oci_blob_limits *limits, struct oci_blob_reader **ret,
		  struct archive **ret_archive, struct err *err);
/* Reads what is left, then the digests. */
int oci_blob_drain(struct oci_blob_reader *r, struct oci_blob *ret, struct err *err);
/* Why the tar could not be read: our own reason (a bomb, a read error) before libarchive's. */
int oci_blob_error(const struct oci_blob_reader *r, struct err *err, const char *what);
void oci_blob_free(struct oci_blob_reader *r);

/* Copies all of @in to @out (-1: reads it only), from where both stand; the digest of what was copied. 0, -errno. */
int oci_blob_copy(int in, int out, struct oci_descriptor *ret);

/* What @d has seen, in the form "sha256:…". */
void oci_digest_end(struct hash *d, char ret[static OCI_DIGEST_SIZE]);
/* The same of some bytes. */
void oci_digest_of(const void *bytes, size_t len, char ret[static OCI_DIGEST_SIZE]);
