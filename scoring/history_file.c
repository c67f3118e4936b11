/* The baseline's file: JSON, versioned, replaced as a whole. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/scope.h"
#include "scoring/history_impl.h"

enum {
	FILE_VERSION = 1,
	FILE_BYTES_MAX = 1 << 20,
	NAME_BYTES = 256,
	AGENT_BYTES_MAX = 200, /* leaves room for the suffixes in a file name */
};

static const char *const set_names[] = {
	[BASELINE_DIRS] = "directories",
	[BASELINE_HOSTS] = "hosts",
	[BASELINE_PROGRAMS] = "programs",
	[BASELINE_STATEMENTS] = "statements",
};
static_assert(sizeof(set_names) / sizeof(set_names[0]) == BASELINE_SET_COUNT, "every set is named");

static void json_drop(struct json_object **o)
{
	json_object_put(*o);
}

static void tokener_drop(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

#define cleanup_json    __attribute__((cleanup(json_drop)))
#define cleanup_tokener __attribute__((cleanup(tokener_drop)))

/* The agent's name becomes a file name: nothing that could lead elsewhere. */
static int file_name(const char *agent, const char *suffix, char ret[static NAME_BYTES],
		     struct err *err)
{
	size_t len = strlen(agent);

	if (!len || len > AGENT_BYTES_MAX || agent[0] == '.' || strchr(agent, '/'))
		return err_set(err, EINVAL, "Agent name \"%.64s\" cannot name a baseline file.",
			       agent);
	snprintf(ret, NAME_BYTES, "%s.json%s", agent, suffix);
	return 0;
}

/* --- writing --- */

static struct json_object *moments_json(const struct baseline_moments *m)
{
	struct json_object *o = json_object_new_array_ext(3);

	json_object_array_add(o, json_object_new_int64((int64_t)m->n));
	json_object_array_add(o, json_object_new_double(m->mean));
	json_object_array_add(o, json_object_new_double(m->m2));
	return o;
}

static struct json_object *counts_json(const uint64_t *counts, unsigned count)
{
	struct json_object *o = json_object_new_array_ext((int)count);

	for (unsigned i = 0; i < count; i++)
		json_object_array_add(o, json_object_new_int64((int64_t)counts[i]));
	return o;
}

static struct json_object *hashes_json(const struct baseline_hashes *s)
{
	struct json_object *o = json_object_new_array_ext((int)s->count);
	char text[17];

	for (unsigned i = 0; i < BASELINE_SET_SIZE; i++) {
		if (!s->slot[i])
			continue;
		snprintf(text, sizeof(text), "%016" PRIx64, s->slot[i]);
		json_object_array_add(o, json_object_new_string(text));
	}
	return o;
}

static struct json_object *baseline_json(const struct baseline *b)
{
	struct json_object *root = json_object_new_object();
	struct json_object *types = json_object_new_object();

	json_object_object_add(root, "version", json_object_new_int(FILE_VERSION));
	json_object_object_add(root, "actions", json_object_new_int64((int64_t)b->actions));
	for (unsigned t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		struct json_object *o = json_object_new_object();
		struct baseline_moments minute = b->minute[t];

		/* The minute under way counts too, or short sessions would never teach a rate. */
		if (b->minute_count[t])
			baseline_moments_add(&minute, b->minute_count[t]);
		json_object_object_add(o, "count", json_object_new_int64((int64_t)b->by_type[t]));
		json_object_object_add(o, "per_minute", moments_json(&minute));
		json_object_object_add(o, "size_bits", moments_json(&b->size[t]));
		json_object_object_add(types, action_type_name((enum action_type)t), o);
	}
	json_object_object_add(root, "types", types);
	json_object_object_add(root, "argv_bits", moments_json(&b->argv));
	json_object_object_add(root, "hours", counts_json(b->hours, BASELINE_HOURS));
	for (unsigned s = 0; s < BASELINE_SET_COUNT; s++)
		json_object_object_add(root, set_names[s], hashes_json(&b->sets[s]));
	return root;
}

static int write_file(int dirfd, const char *name, const char *text, size_t len)
{
	cleanup_fd int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd_write_all(fd, text, len);
}

int history_save(const struct history *h, int dirfd, const char *agent, struct err *err)
{
	char name[NAME_BYTES], aside[NAME_BYTES];
	char suffix[32];
	cleanup_json struct json_object *root = NULL;
	const char *text;
	size_t len;
	int r;

	/* Two sessions of one agent may end together; each writes its own, the last one stays. */
	snprintf(suffix, sizeof(suffix), ".%ld.new", (long)getpid());
	r = file_name(agent, "", name, err);
	if (r == 0)
		r = file_name(agent, suffix, aside, err);
	if (r < 0)
		return r;
	root = baseline_json(&h->baseline);
	text = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN, &len);
	if (!text)
		return err_sys(err, ENOMEM, "Cannot write baseline %s", name);
	unlinkat(dirfd, aside, 0); /* left by a process of the same id that died */
	r = write_file(dirfd, aside, text, len);
	if (r == 0 && renameat(dirfd, aside, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, aside, 0);
		return err_sys(err, -r, "Cannot write baseline %s", name);
	}
	/*
	 * Not flushed: a baseline is a habit, not a record. After a power failure the old one or none is
	 * as good (a torn one is recognised), and two flushes would cost every run 10 ms of disk.
	 */
	return 0;
}

/* --- reading: every value is checked, a damaged file teaches nothing --- */

static bool read_count(struct json_object *o, uint64_t *ret)
{
	int64_t value;

	if (!json_object_is_type(o, json_type_int))
		return false;
	value = json_object_get_int64(o);
	if (value < 0 || value == INT64_MAX)
		return false;
	*ret = (uint64_t)value;
	return true;
}

static bool read_double(struct json_object *o, double *ret)
{
	if (!json_object_is_type(o, json_type_double) && !json_object_is_type(o, json_type_int))
		return false;
	*ret = json_object_get_double(o);
	return isfinite(*ret) && *ret >= 0;
}

static bool read_moments(struct json_object *o, struct baseline_moments *ret)
{
	return json_object_is_type(o, json_type_array) && json_object_array_length(o) == 3 &&
	       read_count(json_object_array_get_idx(o, 0), &ret->n) &&
	       read_double(json_object_array_get_idx(o, 1), &ret->mean) &&
	       read_double(json_object_array_get_idx(o, 2), &ret->m2);
}

static bool read_hashes(struct json_object *o, struct baseline *b, enum baseline_set set)
{
	if (!json_object_is_type(o, json_type_array) ||
	    json_object_array_length(o) > BASELINE_SET_SIZE)
		return false;
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *item = json_object_array_get_idx(o, i);
		const char *text;

		if (!json_object_is_type(item, json_type_string))
			return false;
		text = json_object_get_string(item);
		if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
			return false;
		baseline_add(b, set, strtoull(text, NULL, 16));
	}
	return true;
}

static bool read_type(struct json_object *types, enum action_type type, struct baseline *b)
{
	struct json_object *o;

	return json_object_object_get_ex(types, action_type_name(type), &o) &&
	       json_object_is_type(o, json_type_object) &&
	       read_count(json_object_object_get(o, "count"), &b->by_type[type]) &&
	       read_moments(json_object_object_get(o, "per_minute"), &b->minute[type]) &&
	       read_moments(json_object_object_get(o, "size_bits"), &b->size[type]);
}

/* The name of the member that is wrong, NULL when none is. */
static const char *read_baseline(struct json_object *root, struct baseline *b)
{
	struct json_object *types = json_object_object_get(root, "types");
	struct json_object *hours = json_object_object_get(root, "hours");

	if (!read_count(json_object_object_get(root, "actions"), &b->actions))
		return "actions";
	if (!json_object_is_type(types, json_type_object))
		return "types";
	for (unsigned t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (!read_type(types, (enum action_type)t, b))
			return action_type_name((enum action_type)t);
	}
	if (!read_moments(json_object_object_get(root, "argv_bits"), &b->argv))
		return "argv_bits";
	if (!json_object_is_type(hours, json_type_array) ||
	    json_object_array_length(hours) != BASELINE_HOURS)
		return "hours";
	for (unsigned i = 0; i < BASELINE_HOURS; i++) {
		if (!read_count(json_object_array_get_idx(hours, i), &b->hours[i]))
			return "hours";
	}
	for (unsigned s = 0; s < BASELINE_SET_COUNT; s++) {
		if (!read_hashes(json_object_object_get(root, set_names[s]), b,
				 (enum baseline_set)s))
			return set_names[s];
	}
	return NULL;
}

static int read_file(int dirfd, const char *name, char **ret_text, size_t *ret_len)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	cleanup_free char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	len = fd_read_all(fd, text, (size_t)st.st_size);
	if (len < 0)
		return (int)len;
	text[len] = '\0';
	*ret_text = take_ptr(text);
	*ret_len = (size_t)len;
	return 0;
}

int history_load(struct history *h, int dirfd, const char *agent, struct err *err)
{
	cleanup_tokener struct json_tokener *tokener = NULL;
	cleanup_json struct json_object *root = NULL;
	cleanup_free char *text = NULL;
	char name[NAME_BYTES];
	uint64_t version;
	const char *wrong;
	size_t len = 0;
	int r;

	r = file_name(agent, "", name, err);
	if (r < 0)
		return r;
	r = read_file(dirfd, name, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r == -EBADMSG)
		return err_set(err, EBADMSG, "Baseline %s is not a plain file of at most 1 MiB.",
			       name);
	if (r < 0)
		return err_sys(err, -r, "Cannot read baseline %s", name);

	tokener = json_tokener_new();
	if (!tokener)
		return err_sys(err, ENOMEM, "Cannot read baseline %s", name);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, text, (int)len + 1);
	if (!root || json_tokener_get_error(tokener) != json_tokener_success)
		return err_set(err, EBADMSG, "Baseline %s is damaged: %s.", name,
			       json_tokener_error_desc(json_tokener_get_error(tokener)));
	if (!json_object_is_type(root, json_type_object) ||
	    !read_count(json_object_object_get(root, "version"), &version))
		return err_set(err, EBADMSG, "Baseline %s is damaged: it has no version.", name);
	if (version != FILE_VERSION)
		return err_set(err, EBADMSG,
			       "Baseline %s has version %" PRIu64 "; this program reads %d.", name,
			       version, FILE_VERSION);
	wrong = read_baseline(root, &h->baseline);
	if (wrong) {
		memset(h, 0, sizeof(*h));
		return err_set(err, EBADMSG, "Baseline %s is damaged: \"%s\" is missing or wrong.",
			       name, wrong);
	}
	return 0;
}
