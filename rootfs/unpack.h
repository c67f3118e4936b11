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

struct archive;
struct archive_entry;
struct unpack;

enum unpack_kind {
	UNPACK_IMAGE, /* layers of a root file system: whiteouts are carried out, setuid is stripped */
	UNPACK_UPPER, /* a snapshot: whiteouts as overlayfs writes them, everything as it was */
	UNPACK_STAGE, /* the files of an image archive: nothing but plain files is made */
};

/* Where names go: the place with the longest prefix that fits. */
struct unpack_place {
	const char *prefix; /* without leading and trailing slash; "" everything; borrowed */
	int dirfd;          /* O_PATH or O_RDONLY; borrowed */
};

struct unpack_limits {
	uint64_t entries;
	uint64_t bytes; /* sum of what the files claim to be, holes included */
	size_t path_len;
	unsigned depth;
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

/* A name as it may be used: no leading "./", no doubled slashes. -EBADMSG when it may not. Pure. */
int unpack_clean_path(const char *path, const struct unpack_limits *limits, char *ret, size_t size,
		      struct err *err);
/* The name in an upper of one in a snapshot: whiteouts and escaped names are told apart. Pure. */
enum unpack_name {
	UNPACK_NAME_PLAIN,
	UNPACK_NAME_WHITEOUT, /* ret: what is gone */
	UNPACK_NAME_OPAQUE,
	UNPACK_NAME_BAD, /* .wh..., .wh..wh.other: no tool writes them */
};
enum unpack_name unpack_name_of(const char *leaf, const char **ret);
/*
 * A clean path as the archive has it made into the one it stands for, in place. What the last
 * name was tells what the entry is; directories on the way are never whiteouts. -EBADMSG. Pure.
 */
int unpack_real_path(enum unpack_kind kind, char *path, enum unpack_name *ret, struct err *err);

/* Real names that begin as a whiteout does are written with this before them, and it before itself. */
#define UNPACK_NAME_ESCAPE ".vsandbox-name."
