/*
 * A root file system from an image: an OCI layout, an archive of one, a `docker save`
 * archive or a plain tarball, unpacked once into CACHE/sha256/CHAIN/{rootfs/,config.json}.
 *
 * Theory of operation. CHAIN is the OCI chain id: it stands for all layers in their order, so
 * one directory is one image and a second image of the same layers is the same directory. Every digest is
 * checked while its bytes are read; what comes out is renamed into place when the last one was right.
 * One import at a time (a lock in CACHE): the second finds the first's work. Nothing is executed, nothing
 * fetched. Only for the archive program: pulls in libarchive and libzstd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/oci.h"
#include "rootfs/unpack.h"

struct image_request {
	int source_fd;   /* a directory with oci-layout in it, or a file */
	const char *tag; /* which image of several; NULL the only one */
	int cache_fd;
	void (*progress)(uint64_t entries, uint64_t bytes, void *arg); /* may be NULL */
	void *arg;
};

struct image_made {
	char chain[OCI_DIGEST_SIZE];
	unsigned layers;
	bool found; /* it was there already; nothing was unpacked */
	struct unpack_counts counts;
};

/* -EBADMSG with layer and entry in @err for everything that is wrong with the image. */
int image_import(const struct image_request *req, struct image_made *ret, struct err *err);
