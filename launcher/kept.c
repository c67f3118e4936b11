#include "launcher/kept.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/state.h"

enum { RECORD_MAX = 1 << 20, NAME_PART = 24, DIGEST_PART = 16, NAME_SIZE = 64 };

/* The name of the file for @p. -ENOENT: it was not read from a file. */
static int name_of(const struct policy *p, char name[static NAME_SIZE], char real[static PATH_MAX])
{
	char hash[HASH_HEX], part[NAME_PART + 1];
	if (!p->origin.file || !realpath(p->origin.file, real))
		return -ENOENT;
	hash_hex(real, strlen(real), hash);
	snprintf(part, sizeof(part), "%s", p->name ? p->name : "");
	for (char *c = part; *c; c++)
		*c = isalnum((unsigned char)*c) || *c == '_' ? *c : '-';
	snprintf(name, NAME_SIZE, "%s-%.*s.json", part, DIGEST_PART, hash);
	return 0;
}

/* A list of objects in @ret, owned by the caller: empty when there is no file. */
static int record_load(const char *path, struct json_object **ret, struct err *err)
{
	struct stat st;
	cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s", path);
	if (fd < 0) {
		*ret = json_object_new_array();
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return err_set(err, EPERM, "%s must be a file of yours that no one else may use",
			       path);
	if (st.st_size > RECORD_MAX)
		return err_set(err, EFBIG, "%s is too large", path);
	struct json_object *o = json_object_from_fd(fd);
	struct json_object *list = json_object_object_get(o, "allowed");
	if (json_object_is_type(list, json_type_array))
		*ret = json_object_get(list);
	json_object_put(o);
	return json_object_is_type(*ret, json_type_array)
		       ? 0
		       : err_set(err, EBADMSG,
				 "%s cannot be understood; remove it to allow nothing for good",
				 path);
}

static enum action_op op_named(const char *name)
{
	enum action_op op = OP_NONE;
	while (op < OP_COUNT && strcmp(name, action_op_name(op)) != 0)
		op++;
	return op;
}

/* Borrows from @o. */
static bool understand(struct json_object *o, struct policy_approved *ret)
{
	*ret = (struct policy_approved){ .op = op_named(event_text(o, "op")),
					 .resource = event_text(o, "resource"),
					 .program = event_text(o, "program") };
	return action_type_parse(event_text(o, "type"), &ret->type) == 0 &&
	       policy_approvable(ret->op) && *ret->resource && *ret->program;
}

static int path_of(const char *name, char path[static 2 * STATE_PATH_SIZE], struct err *err)
{
	char config[STATE_PATH_SIZE];
	int r = state_config_path(config, err);
	if (r == 0)
		snprintf(path, (size_t)2 * STATE_PATH_SIZE, "%s/approvals/%s", config, name);
	return r;
}

int kept_load(struct policy *p, struct err *err)
{
	char name[NAME_SIZE], real[PATH_MAX], path[2 * STATE_PATH_SIZE];
	struct json_object *list = NULL;
	if (name_of(p, name, real) < 0)
		return 0;
	int r = path_of(name, path, err);
	if (r == 0)
		r = record_load(path, &list, err);
	for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++) {
		struct policy_approved entry;
		if (i >= KEPT_MAX || !understand(json_object_array_get_idx(list, i), &entry)) {
			r = err_set(err, EBADMSG,
				    "%s: entry %zu is no action that is allowed for good", path,
				    i + 1);
			break;
		}
		entry.origin.file = path;
		r = policy_approve(p, &entry, err);
	}
	json_object_put(list);
	return r;
}

static void copy_text(struct json_object *to, struct json_object *from, const char *name)
{
	json_object_object_add(to, name, json_object_new_string(event_text(from, name)));
}

static int record_save(int dir, const char *name, const char *policy, struct json_object *list,
		       struct err *err)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "policy", json_object_new_string(policy));
	json_object_object_add(o, "allowed", json_object_get(list));
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
	int r = state_write_file(dir, name, text, strlen(text), err);
	json_object_put(o);
	return r;
}

int kept_add(const struct policy *p, struct json_object *event, struct err *err)
{
	char name[NAME_SIZE], real[PATH_MAX], path[2 * STATE_PATH_SIZE], config[STATE_PATH_SIZE];
	struct policy_approved entry;
	struct json_object *list = NULL;
	if (name_of(p, name, real) < 0)
		return err_set(err, EOPNOTSUPP, "the policy is in no file to be remembered by");
	if (!understand(event, &entry) || *event_text(event, "resource2"))
		return err_set(err, EOPNOTSUPP,
			       "only the reading, writing, making or deleting of one file and a "
			       "connection are allowed for good; allow it for the session");
	if (strcmp(event_text(event, "reason"), reason_name(REASON_RULE)) != 0 &&
	    strcmp(event_text(event, "reason"), reason_name(REASON_THRESHOLD)) != 0)
		return err_set(err, EOPNOTSUPP,
			       "it is asked about for its rate or the agent's state, which nothing "
			       "allows for good");
	cleanup_fd int up = state_config_open(config, err);
	cleanup_fd int dir = up < 0 ? up : state_subdir(up, "approvals", err);
	if (dir < 0)
		return dir;
	if (flock(dir, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, EAGAIN,
			       "another session is writing down an approval; once more");
	int r = path_of(name, path, err);
	if (r == 0)
		r = record_load(path, &list, err);
	if (r == 0 && json_object_array_length(list) >= KEPT_MAX)
		r = err_set(err, ENOSPC, "%s holds %d entries already", path, KEPT_MAX);
	if (r == 0) {
		struct json_object *one = json_object_new_object();
		copy_text(one, event, "type");
		copy_text(one, event, "op");
		copy_text(one, event, "resource");
		copy_text(one, event, "program");
		json_object_array_add(list, one);
		r = record_save(dir, name, real, list, err);
	}
	json_object_put(list);
	return r;
}
