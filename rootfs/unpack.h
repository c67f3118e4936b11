/*
 * Foreign tar entries made into files, below directories that are given and nowhere else.
 *
 * Theory of operation. Every name is cut into components before anything is opened: absolute
 * names, "..", empty and overlong ones are refused. Parents are opened by openat2 beneath the
 * place's directory, so a link that an earlier entry planted can lead nowhere else; the last
 * component is never followed and always made anew (O_EXCL, after what was there is removed). Modes and times
 * of directories come last, so that one without write permission takes its entries. Device nodes are left
 * out: the box brings its own /dev. Whoever calls is confined besides (siblings/archive_confine.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "rootfs/unpack_name.h"

struct archive;
struct archive_entry;
struct unpack;

/* Where names go: the place with the longest prefix that fits. */
struct unpack_place {
	const char *prefix; /* without leading and trailing slash; "" everything; borrowed */
	int dirfd;          /* O_PATH or O_RDONLY; borrowed */
};

struct unpack_plan {
	enum unpack_kind kind;
	const struct unpack_place *places;
	unsigned place_count;
	struct unpack_limits limits;
	bool owners;  /* root: as the archive says; else everything is the caller's */
	bool trusted; /* UPPER: opaque marks as trusted.overlay.*, else user.overlay.* */
	void (*progress)(uint64_t entries, uint64_t bytes, void *arg); /* may be NULL */
	void *arg;
};

struct unpack_counts {
	uint64_t entries, bytes;
	uint64_t devices;    /* left out */
	uint64_t setuid;     /* stripped */
	uint64_t attributes; /* left out: security.*, trusted.*, access lists */
};

int unpack_new(const struct unpack_plan *plan, struct unpack **ret, struct err *err);
/*
 * One archive from its first to its last entry. UNPACK_IMAGE: with @whiteouts only those are
 * carried out, without it only the others, so that whiteouts of a layer never meet its own files.
 * -EBADMSG with the entry named in @err.
 */
enum unpack_pass { UNPACK_ALL, UNPACK_WHITEOUTS_ONLY, UNPACK_FILES_ONLY };
int unpack_archive(struct unpack *u, struct archive *a, enum unpack_pass pass, struct err *err);
/* Gives directories their owners, modes and times. After the last archive. */
int unpack_directories(struct unpack *u, struct err *err);
const struct unpack_counts *unpack_counted(const struct unpack *u);
void unpack_free(struct unpack *u);
