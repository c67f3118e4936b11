/* Where things are kept: XDG directories and the places policies are looked up. */
#pragma once

#include <stddef.h>

#include "base/err.h"

enum { STATE_PATH_SIZE = 4096 };

/* $HOME, or what the password file says. Static storage. */
const char *state_home(void);

/*
 * The state directory ($XDG_STATE_HOME/vsandbox, 0700), made when missing.
 * @path gets its absolute name. An fd the caller owns, or -errno: one that
 * belongs to somebody else or that others may read is refused.
 */
int state_open(char path[static STATE_PATH_SIZE], struct err *err);
/* The cache of unpacked images ($XDG_CACHE_HOME/vsandbox/layers), in the same way. */
int state_cache_open(char path[static STATE_PATH_SIZE], struct err *err);
/* Its name alone; -ENAMETOOLONG. */
int state_cache_path(char path[static STATE_PATH_SIZE]);
/* A 0700 directory in @dirfd, made when missing. An fd the caller owns, or -errno. */
int state_subdir(int dirfd, const char *name, struct err *err);

/*
 * Writes @name in @dirfd so that a reader sees all of it or nothing: beside it,
 * mode 0600, then renamed.
 */
int state_write_file(int dirfd, const char *name, const char *text, size_t len, struct err *err);

/* Directories searched for NAME.json: the user's, the build tree's, the installed. NULL-terminated. */
const char *const *state_policy_dirs(void);

/*
 * The configuration directory ($XDG_CONFIG_HOME/vsandbox) as an absolute name; it need not be
 * there. state_config_open makes it, 0700, when missing: an fd the caller owns, or -errno.
 */
int state_config_path(char path[static STATE_PATH_SIZE], struct err *err);
int state_config_open(char path[static STATE_PATH_SIZE], struct err *err);
