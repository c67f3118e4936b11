#include "launcher/writers.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "launcher/eventfile.h"

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *value;
	return o && json_object_object_get_ex(o, name, &value) ? json_object_get_string(value)
							       : NULL;
}

static struct json_object *entry_of(const struct writers *w, const char *path)
{
	struct json_object *entry;
	return json_object_object_get_ex(w->by_path, path, &entry) ? entry : NULL;
}

static struct json_object *note(struct writers *w, const char *path,
				const struct json_object *event)
{
	struct json_object *entry = json_object_new_object();
	json_object_object_add(entry, "program",
			       json_object_new_string(event_text(event, "program")));
	json_object_object_add(entry, "pid", json_object_new_int64(event_number(event, "pid")));
	json_object_object_add(w->by_path, path, entry);
	return entry;
}

static void take(struct writers *w, const struct json_object *event)
{
	const char *type = event_text(event, "type"), *op = event_text(event, "op");
	const char *path = event_text(event, "resource"), *to = event_text(event, "resource2");
	if ((strcmp(type, "file_write") && strcmp(type, "file_delete")) || !*path ||
	    event_number(event, "result") < 0)
		return;
	if (strcmp(op, "rename") || !*to) {
		struct json_object *old = json_object_get(entry_of(w, path));
		const char *from = text_of(old, "from");
		struct json_object *entry = note(w, path, event);
		if (from &&
		    strcmp(type, "file_delete")) /* written to, it is still the renamed file */
			json_object_object_add(entry, "from", json_object_new_string(from));
		json_object_put(old);
		return;
	}
	struct json_object *old = json_object_get(entry_of(w, path));
	const char *from = text_of(old, "from");
	struct json_object *entry = note(w, to, event);
	json_object_object_add(entry, "from", json_object_new_string(from ? from : path));
	note(w, path, event);
	json_object_put(old);
}

int writers_load(int session_dirfd, struct writers *ret, struct err *err)
{
	struct eventfile f;
	struct eventfile_line line;
	struct err damaged;
	ret->by_path = json_object_new_object();
	int r = eventfile_open(session_dirfd, &f, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = eventfile_next(&f, &line, &damaged)) == 1 || r == -EBADMSG) {
		if (r == -EBADMSG)
			continue;
		take(ret, line.json);
		json_object_put(line.json);
	}
	eventfile_close(&f);
	return r < 0 ? err_set(err, -r, "%s", damaged.text) : 0;
}

void writers_finish(struct writers *w)
{
	json_object_put(w->by_path);
	w->by_path = NULL;
}

const char *writers_program(const struct writers *w, const char *path, int64_t *ret_pid)
{
	struct json_object *pid, *entry = entry_of(w, path);
	const char *program = text_of(entry, "program");
	*ret_pid = entry && json_object_object_get_ex(entry, "pid", &pid)
			   ? json_object_get_int64(pid)
			   : 0;
	return program ? program : "";
}

const char *writers_renamed_from(const struct writers *w, const char *path)
{
	return text_of(entry_of(w, path), "from");
}
