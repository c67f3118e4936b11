/* A JSON object in a file that somebody else wrote. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct json_object;

/* Reads @fd to its end, at most @most bytes. NULL with the reason in @err, which calls it @name. */
struct json_object *jsonfile_read(int fd, const char *name, size_t most, struct err *err);

/* Opens and reads a regular file, never waiting for a FIFO's other end. */
struct json_object *jsonfile_open(int dirfd, const char *path, size_t most, struct err *err);

/*
 * Puts @o in the place of the file @path, whole or not at all, with its mode and owner. Not synced to the disk:
 * a container does not outlive its machine, and half a file is one that no runtime takes.
 */
int jsonfile_replace(const char *path, struct json_object *o, struct err *err);

/* The member @name of @o (NULL allowed) when it is a text, borrowed; NULL. */
const char *jsonfile_text(struct json_object *o, const char *name);
/* … when it is an integer; else @otherwise. */
int64_t jsonfile_number(struct json_object *o, const char *name, int64_t otherwise);
