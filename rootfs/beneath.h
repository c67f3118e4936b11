/*
 * Host paths that are written to: walked from a pinned directory, never through a symbolic link, never out
 * of it, never onto another mount. Whatever is swapped meanwhile, nothing outside is reached.
 */
#pragma once

#include <stddef.h>

/* Opens absolute directory @path[0..len) itself, without following a link. O_PATH descriptor or -errno. */
int beneath_root(const char *path, size_t len);

/* Opens directory @path[0..len), relative to @root and of any length; "" is @root. O_PATH or -errno. */
int beneath_dir(int root, const char *path, size_t len);

/* As beneath_dir; directories that their owner left without permissions are given them: for an upper. */
int beneath_dir_forced(int root, const char *path, size_t len);

/* Length of the directory part of @path, without the slash before the last name: 0 for "name". */
size_t beneath_parent_len(const char *path);
