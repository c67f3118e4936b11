/*
 * Names as archives write them, made into names that may be used, or refused. Text alone: pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum unpack_kind {
	UNPACK_IMAGE, /* layers of a root file system: whiteouts are carried out, setuid is stripped */
	UNPACK_UPPER, /* a snapshot: whiteouts as overlayfs writes them, everything as it was */
	UNPACK_STAGE, /* the files of an image archive: nothing but plain files is made */
};

struct unpack_limits {
	uint64_t entries;
	uint64_t bytes; /* sum of what the files claim to be, holes included */
	size_t path_len;
	unsigned depth;
};

/* A name as it may be used: no leading "./", no doubled slashes. -EBADMSG when it may not. Pure. */
int unpack_name_clean(const char *path, const struct unpack_limits *limits, char *ret, size_t size,
		      struct err *err);
/* What a name in an archive stands for. */
enum unpack_name {
	UNPACK_NAME_PLAIN,
	UNPACK_NAME_WHITEOUT, /* of what has the name without its mark */
	UNPACK_NAME_OPAQUE,
	UNPACK_NAME_BAD, /* .wh..., .wh..wh.other: no tool writes them */
};
/*
 * A clean path as the archive has it made into the one it stands for, in place. What the last
 * name was tells what the entry is; directories on the way are never whiteouts. -EBADMSG. Pure.
 */
int unpack_name_real(enum unpack_kind kind, char *path, enum unpack_name *ret, struct err *err);

/* Real names that begin as a whiteout does are written with this before them, and it before itself. */
#define UNPACK_NAME_ESCAPE ".vsandbox-name."
