/* Descriptors: the loops that every caller of read(2) and write(2) needs. */
#pragma once

#include <stddef.h>

/* Writes all of it, going on after EINTR and short writes. 0, -errno. */
int fd_write_all(int fd, const char *bytes, size_t len);
