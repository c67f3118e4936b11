#include "launcher/jsonfile.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { STEP = 65536 };

struct json_object *jsonfile_read(int fd, const char *name, size_t most, struct err *err)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *o = NULL;
	enum json_tokener_error error = json_tokener_continue;
	size_t have = 0;
	while (tokener && error == json_tokener_continue && have < most) {
		char text[STEP];
		ssize_t n = read(fd, text, sizeof(text));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		o = json_tokener_parse_ex(tokener, text, (int)n);
		error = json_tokener_get_error(tokener);
	}
	json_tokener_free(tokener);
	if (o && json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	err_set(err, EBADMSG, "%s: %s", name,
		have >= most                     ? "it is too long"
		: error == json_tokener_continue ? "it ends too soon"
		: error == json_tokener_success  ? "it is no object"
						 : json_tokener_error_desc(error));
	return NULL;
}

struct json_object *jsonfile_open(int dirfd, const char *path, size_t most, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(err, errno, "%s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, EINVAL, "%s: it is no file", path);
		return NULL;
	}
	return jsonfile_read(fd, path, most, err);
}

int jsonfile_replace(const char *path, struct json_object *o, struct err *err)
{
	char beside[PATH_MAX];
	struct stat st;
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
		return err_set(err, ENAMETOOLONG, "%s: the name is too long", path);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE);
	cleanup_fd int fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s: nothing can be written beside it", path);
	int r = fd_write_all(fd, text, strlen(text));
	if (r == 0 && (fchmod(fd, st.st_mode & 07777) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 ||
		       rename(beside, path) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	unlink(beside);
	return err_sys(err, -r, "%s: it cannot be replaced", path);
}

const char *jsonfile_text(struct json_object *o, const char *name)
{
	struct json_object *v;
	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : NULL;
}

int64_t jsonfile_number(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v;
	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_int)
		       ? json_object_get_int64(v)
		       : otherwise;
}
