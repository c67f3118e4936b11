#include "launcher/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/state.h"
#include "launcher/term.h"

enum { RECORD_MAX = 1 << 20 };

static const char record_name[] = "trusted.json";

/* The record as JSON, owned by the caller; one without entries when there is no file. */
static int record_load(struct json_object **ret, struct err *err)
{
	char path[STATE_PATH_SIZE + 16];
	struct stat st;
	int r = state_config_path(path, err);
	if (r < 0)
		return r;
	strcat(path, "/");
	strcat(path, record_name);
	cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s", path);
	if (fd < 0) {
		*ret = json_object_new_object();
		json_object_object_add(*ret, "trusted", json_object_new_array());
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return err_set(err, EPERM,
			       "%s must be a file of yours that no one else may use: "
			       "chmod 0600 %s",
			       path, path);
	if (st.st_size > RECORD_MAX)
		return err_set(err, EFBIG, "%s is too large", path);
	struct json_object *o = json_object_from_fd(fd), *list;
	if (!json_object_object_get_ex(o, "trusted", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		json_object_put(o);
		return err_set(err, EBADMSG, "%s cannot be understood; remove it to trust nothing",
			       path);
	}
	*ret = o;
	return 0;
}

static struct json_object *entry_of(struct json_object *record, const char *path, size_t *ret_at)
{
	struct json_object *list = json_object_object_get(record, "trusted");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		if (strcmp(event_text(entry, "path"), path) != 0)
			continue;
		*ret_at = i;
		return entry;
	}
	return NULL;
}

static int record_save(struct json_object *record, struct err *err)
{
	char path[STATE_PATH_SIZE];
	json_object_object_add(record, "schema_version", json_object_new_int(1));
	cleanup_fd int dir = state_config_open(path, err);
	if (dir < 0)
		return dir;
	const char *text = json_object_to_json_string_ext(record, JSON_C_TO_STRING_PRETTY);
	return state_write_file(dir, record_name, text, strlen(text), err);
}

int trust_look(const char *path, const char *digest, enum trust *ret, struct err *err)
{
	struct json_object *record;
	size_t at;
	*ret = TRUST_NONE;
	int r = record_load(&record, err);
	if (r < 0)
		return r;
	const struct json_object *entry = entry_of(record, path, &at);
	if (entry)
		*ret = digest && !strcmp(event_text(entry, "digest"), digest) ? TRUST_GIVEN
									      : TRUST_CHANGED;
	json_object_put(record);
	return 0;
}

static int drop(struct json_object *record, const char *path)
{
	size_t at;
	if (!entry_of(record, path, &at))
		return -ENOENT;
	return json_object_array_del_idx(json_object_object_get(record, "trusted"), at, 1);
}

int trust_give(const char *path, const char *digest, struct err *err)
{
	struct json_object *record;
	int r = record_load(&record, err);
	if (r < 0)
		return r;
	drop(record, path);
	struct json_object *entry = json_object_new_object();
	json_object_object_add(entry, "path", json_object_new_string(path));
	json_object_object_add(entry, "digest", json_object_new_string(digest));
	json_object_array_add(json_object_object_get(record, "trusted"), entry);
	r = record_save(record, err);
	json_object_put(record);
	return r;
}

int trust_revoke(const char *path, struct err *err)
{
	struct json_object *record;
	int r = record_load(&record, err);
	if (r < 0)
		return r;
	r = drop(record, path);
	r = r < 0 ? err_set(err, ENOENT, "%s is not trusted", path) : record_save(record, err);
	json_object_put(record);
	return r;
}

int trust_print(FILE *f, struct err *err)
{
	struct json_object *record;
	int r = record_load(&record, err);
	if (r < 0)
		return r;
	struct json_object *list = json_object_object_get(record, "trusted");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		term_text(f, event_text(json_object_array_get_idx(list, i), "path"));
		fputc('\n', f);
	}
	json_object_put(record);
	return 0;
}
