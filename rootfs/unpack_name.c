#include "rootfs/unpack_name.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

int unpack_name_clean(const char *path, const struct unpack_limits *limits, char *ret, size_t size,
		      struct err *err)
{
	size_t len = 0;
	unsigned depth = 0;
	if (path[0] == '/')
		return err_set(err, EBADMSG, "its name is absolute");
	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		if (n == 2 && at[0] == '.' && at[1] == '.')
			return err_set(err, EBADMSG, "its name has '..' in it");
		if (n > NAME_MAX)
			return err_set(err, EBADMSG, "a name in it is longer than %d bytes",
				       NAME_MAX);
		if (n > 0 && !(n == 1 && at[0] == '.')) {
			if (len + n + 2 > size || len + n + 1 > limits->path_len)
				return err_set(err, EBADMSG, "its name is longer than %zu bytes",
					       limits->path_len);
			if (++depth > limits->depth)
				return err_set(err, EBADMSG, "it lies deeper than %u directories",
					       limits->depth);
			if (len)
				ret[len++] = '/';
			memcpy(ret + len, at, n);
			len += n;
		}
		at += n;
		at += *at == '/';
	}
	ret[len] = '\0';
	return 0;
}

/* @ret: the name in an upper of one in a snapshot; of a whiteout, what is gone. */
static enum unpack_name name_of(const char *leaf, const char **ret)
{
	const size_t escape = sizeof(UNPACK_NAME_ESCAPE) - 1;
	*ret = leaf;
	if (strncmp(leaf, UNPACK_NAME_ESCAPE, escape) == 0) {
		*ret = leaf + escape;
		return UNPACK_NAME_PLAIN;
	}
	if (strncmp(leaf, ".wh.", 4) != 0)
		return UNPACK_NAME_PLAIN;
	*ret = leaf + 4;
	if (strcmp(leaf, ".wh..wh..opq") == 0)
		return UNPACK_NAME_OPAQUE;
	if (!leaf[4] || strcmp(leaf + 4, ".") == 0 || strcmp(leaf + 4, "..") == 0 ||
	    strncmp(leaf + 4, ".wh.", 4) == 0)
		return UNPACK_NAME_BAD;
	return UNPACK_NAME_WHITEOUT;
}

int unpack_name_real(enum unpack_kind kind, char *path, enum unpack_name *ret, struct err *err)
{
	char *out = path;
	for (char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		bool last = !at[n];
		char name[NAME_MAX + 1];
		const char *real;
		memcpy(name, at, n);
		name[n] = '\0';
		enum unpack_name what = name_of(name, &real);
		/* foreign names mean what they say, but for the last one's mark */
		if (what == UNPACK_NAME_PLAIN && kind != UNPACK_UPPER)
			real = name;
		if (what == UNPACK_NAME_BAD ||
		    (kind == UNPACK_UPPER && !last && what != UNPACK_NAME_PLAIN))
			return err_set(err, EBADMSG, "it is a whiteout of nothing");
		/* what stood behind the escape was not seen by unpack_name_clean */
		if (!*real || strcmp(real, ".") == 0 || strcmp(real, "..") == 0)
			return err_set(err, EBADMSG, "it is an escaped name of no file");
		if (!last && what != UNPACK_NAME_PLAIN)
			real = name;
		if (last)
			*ret = what;
		size_t len = strlen(real);
		at += n + !last;
		memmove(out, real, len);
		out += len;
		if (!last)
			*out++ = '/';
	}
	*out = '\0';
	return 0;
}
