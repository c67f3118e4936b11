/* The content of files, copied the cheapest way the file systems know. */
#pragma once

#include <sys/types.h>

/*
 * Makes the content of @to that of @from: shared blocks where the file system
 * can (FICLONE), else copied without filling holes. @to's offset does not matter; it is
 * truncated first. Both regular files. 0, -errno.
 */
int content_copy(int from, int to);
/* Writes @len bytes as the whole content. 0, -errno. */
int content_write(int to, const void *bytes, size_t len);
