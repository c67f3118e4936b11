#include "launcher/config.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/nearest.h"
#include "base/scope.h"
#include "policies/amount.h"
#include "policies/json_lines.h"

enum { CONFIG_MAX = 1 << 16 };

/* Hours of a busy session: a server that is away loses nothing of it. */
static const uint64_t UPLOAD_BYTES = 4ULL << 30;

enum kind {
	KIND_POLICY,
	KIND_WORD,
	KIND_PROGRAM,
	KIND_SWITCH,
	KIND_COUNT,
	KIND_SIZE,
	KIND_AGE,
	KIND_BLOCK,
	KIND_IGNORED
};

/* The one list of keys; @block is "" or the key they stand under. */
static const struct key {
	const char *name, *block;
	enum kind kind;
	size_t offset;
} keys[] = {
	{ "$schema", "", KIND_IGNORED, 0 },
	{ "default_policy", "", KIND_POLICY, offsetof(struct config, policy) },
	{ "approve", "", KIND_WORD, offsetof(struct config, approve) },
	{ "notify_command", "", KIND_PROGRAM, offsetof(struct config, notify_command) },
	{ "mask_upload", "", KIND_SWITCH, offsetof(struct config, mask_upload) },
	{ "server_always", "", KIND_SWITCH, offsetof(struct config, server_always) },
	{ "upload_budget", "", KIND_SIZE, offsetof(struct config, upload_bytes) },
	{ "budgets", "", KIND_BLOCK, 0 },
	{ "sessions", "budgets", KIND_COUNT, offsetof(struct config, sessions) },
	{ "bytes", "budgets", KIND_SIZE, offsetof(struct config, bytes) },
	{ "age", "budgets", KIND_AGE, offsetof(struct config, age_seconds) },
};
enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

struct reading {
	const char *file;
	struct config *config;
	struct err *err;
};

__attribute__((format(printf, 3, 4))) static int
fail(const struct reading *r, const struct json_line *at, const char *fmt, ...)
{
	char text[300], pointer[100];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_lines_pointer(at, pointer, sizeof(pointer));
	return err_set(r->err, EINVAL, "%s:%u: %s%s%s", r->file, at->line, pointer,
		       *pointer ? ": " : "", text);
}

/* @o as text of at most @size bytes with its NUL. */
static int take_text(const struct reading *r, const struct json_line *at, struct json_object *o,
		     size_t size, char *out)
{
	if (!json_object_is_type(o, json_type_string))
		return fail(r, at, "expected a string");
	const char *text = json_object_get_string(o);
	if (!*text || strlen(text) >= size || strlen(text) != (size_t)json_object_get_string_len(o))
		return fail(r, at, "expected 1 to %zu bytes of text", size - 1);
	strcpy(out, text);
	return 0;
}

static int take_amount(const struct reading *r, const struct json_line *at, struct json_object *o,
		       enum kind kind, uint64_t *ret)
{
	static const char *const shapes[] = { [KIND_COUNT] = "a number",
					      [KIND_SIZE] = "a size such as \"20G\"",
					      [KIND_AGE] = "a time such as \"30d\"" };
	if (json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0) {
		*ret = (uint64_t)json_object_get_int64(o);
		return 0;
	}
	const char *text = json_object_is_type(o, json_type_string) && kind != KIND_COUNT
				   ? json_object_get_string(o)
				   : "";
	if ((kind == KIND_SIZE ? size_parse(text, ret) : seconds_parse(text, ret)) < 0 || !*text)
		return fail(r, at, "expected %s", shapes[kind]);
	return 0;
}

static int take_block(const struct reading *r, const struct json_line *at, struct json_object *o,
		      const char *block);

static int take(const struct reading *r, const struct json_line *at, struct json_object *o,
		const struct key *key)
{
	void *field = (char *)r->config + key->offset;
	int rc = 0;
	switch (key->kind) {
	case KIND_IGNORED:
		return 0;
	case KIND_BLOCK:
		return take_block(r, at, o, key->name);
	case KIND_SWITCH:
		if (!json_object_is_type(o, json_type_boolean))
			return fail(r, at, "expected true or false");
		*(bool *)field = json_object_get_boolean(o);
		return 0;
	case KIND_WORD:
		return take_text(r, at, o, CONFIG_WORD_SIZE, field);
	case KIND_POLICY:
	case KIND_PROGRAM:
		rc = take_text(r, at, o, STATE_PATH_SIZE, field);
		break;
	case KIND_COUNT:
	case KIND_SIZE:
	case KIND_AGE:
		return take_amount(r, at, o, key->kind, field);
	}
	/* Relative to what? Runs start in many directories. */
	const char *text = field;
	if (rc == 0 && text[0] != '/' && (key->kind == KIND_PROGRAM || strchr(text, '/')))
		rc = fail(r, at, "expected an absolute path%s",
			  key->kind == KIND_POLICY ? " or the name of a policy" : "");
	if (rc == 0 && key->kind == KIND_PROGRAM && access(text, X_OK) < 0)
		rc = fail(r, at, "%.200s cannot be executed: %s", text, strerrordesc_np(errno));
	return rc;
}

static int take_block(const struct reading *r, const struct json_line *at, struct json_object *o,
		      const char *block)
{
	if (!json_object_is_type(o, json_type_object))
		return fail(r, at, "expected an object");
	for (const struct json_line *c = at->first; c; c = c->next) {
		const char *names[KEYS + 1];
		unsigned known = 0;
		const struct key *key = NULL;
		for (unsigned i = 0; i < KEYS; i++) {
			if (strcmp(keys[i].block, block) != 0)
				continue;
			names[known++] = keys[i].name;
			if (!strcmp(keys[i].name, c->key))
				key = &keys[i];
		}
		names[known] = NULL;
		if (!key) {
			const char *near = nearest_word(c->key, names, sizeof(*names));
			return fail(r, c, "unknown key%s%s%s", near ? "; did you mean \"" : "",
				    near ? near : "", near ? "\"?" : "");
		}
		int rc = take(r, c, json_object_object_get(o, c->key), key);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int parse(const struct reading *r, char *text, size_t len)
{
	struct arena arena = { 0 };
	const struct json_line *root;
	int rc = json_lines_scan(text, len, r->file, &arena, &root, r->err);
	if (rc == 0) {
		struct json_object *o = json_tokener_parse(text);
		rc = o ? take_block(r, root, o, "")
		       : err_set(r->err, EINVAL, "%s: a value is no JSON", r->file);
		json_object_put(o);
	} else if (rc == -ENOMEM) {
		err_set(r->err, ENOMEM, "out of memory");
	}
	arena_finish(&arena);
	return rc;
}

void config_defaults(struct config *ret)
{
	*ret = (struct config){ .mask_upload = true,
				.server_always = true,
				.upload_bytes = UPLOAD_BYTES };
}

int config_load(struct config *ret, struct err *err)
{
	char path[STATE_PATH_SIZE + 16];
	config_defaults(ret);
	int rc = state_config_path(path, err);
	if (rc < 0)
		return rc;
	strcat(path, "/config.json");
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path);
	cleanup_free char *text = calloc(1, CONFIG_MAX + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t len = fd_read_all(fd, text, CONFIG_MAX);
	if (len < 0)
		return err_sys(err, (int)-len, "%s", path);
	if (len == CONFIG_MAX)
		return err_set(err, EFBIG, "%s: larger than %d bytes", path, CONFIG_MAX - 1);
	const struct reading r = { path, ret, err };
	return parse(&r, text, (size_t)len);
}
