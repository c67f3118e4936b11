/* One object made again elsewhere: content with its holes, then everything else there is to know of it. */
#pragma once

#include <sys/stat.h>

enum copy_flags {
	COPY_PLAIN = 0,
	COPY_NO_SETUID = 1, /* leave the setuid and setgid bits of a file behind */
};

/*
 * Makes @to (which must not exist) from the file, symbolic link, FIFO or socket @from, whose stat @st is;
 * an unreadable file of the caller's own is made readable for it. Attributes are the default ones.
 * 0, -errno (-EOPNOTSUPP: a device); on failure @to may be left, incomplete.
 */
int copy_object(int from_dir, const char *from, const struct stat *st, int to_dir, const char *to);

/*
 * Owner, extended attributes (but an overlay's own marks), mode and times of @from, taken from @st where it
 * has them, for @to, which loses attributes that @from has not. Both of any type. 0, -errno.
 */
int copy_attributes(int from_dir, const char *from, const struct stat *st, int to_dir,
		    const char *to, enum copy_flags flags);
