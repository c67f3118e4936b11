#include "launcher/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int path_first(const struct options *o)
{
	const char *first = o->args[0];
	return first && !o->dashes && first[0] != '.' && !strchr(first, '/');
}

int path_session(const struct options *o, const char *verb, struct session *ret, struct err *err)
{
	const char *id = path_first(o) ? o->args[0] : NULL;
	int r = session_find(id, ret, err);
	if (r == -ENOENT && id)
		err_set(err, ENOENT,
			"there is no session '%.64s'; vsandbox ps lists them. If it is a path: "
			"vsandbox %s -- %.64s",
			id, verb, id);
	return r;
}

int path_absolute(const char *given, char path[static STATE_PATH_SIZE], struct err *err)
{
	char cwd[STATE_PATH_SIZE] = "", joined[2 * STATE_PATH_SIZE];
	if (given[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	snprintf(joined, sizeof(joined), "%s/%s", cwd, given);
	size_t len = 0;
	for (char *save, *part = strtok_r(joined, "/", &save); part;
	     part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			while (len && path[--len] != '/')
				;
			continue;
		}
		size_t n = strlen(part);
		if (len + n + 2 > STATE_PATH_SIZE)
			return err_set(err, ENAMETOOLONG, "the path is too long");
		path[len++] = '/';
		memcpy(path + len, part, n);
		len += n;
	}
	path[len] = 0;
	return 0;
}
