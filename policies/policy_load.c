#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "base/scope.h"
#include "policies/policy_index.h"
#include "policies/policy_loader.h"

enum { FILE_MAX = 1 << 20, EXTENDS_DEPTH_MAX = 16 };

static const struct policy defaults = {
	.description = "",
	.mode = MODE_ALERT,
	.spawn = true,
	.rate_general = 60,
	.max_risk = 1.0F,
	.risk_threshold = 0.7F,
	.rollback_limit = 5,
	.workspace = WORKSPACE_OVERLAY,
	.net = NET_ALLOWLIST,
	.monitors = { .file_system = true,
		      .network = true,
		      .processes = true,
		      .database = true,
		      .cpu = true,
		      .memory = true,
		      .cpu_percent = 90,
		      .cpu_seconds = 5,
		      .memory_bytes = UINT64_C(2) << 30,
		      .process_count = true },
	.on_exit = ON_EXIT_KEEP,
	.journal = POLICY_JOURNAL_BATCH,
	.journal_bytes = UINT64_C(1) << 30,
	.snapshots = true,
};

/* In place of the defaults for a policy that only narrows: no value of these forbids anything. */
static void neutralize(struct policy *p)
{
	p->rate_general = 0;
	p->risk_threshold = 1.01F; /* no score reaches it */
	p->rollback_limit = 0;
	p->workspace = WORKSPACE_DIRECT;
	p->net = NET_HOST;
	p->monitors = (struct policy_monitors){ .cpu_percent = defaults.monitors.cpu_percent,
						.cpu_seconds = defaults.monitors.cpu_seconds,
						.memory_bytes = defaults.monitors.memory_bytes };
	p->on_exit = ON_EXIT_COMMIT;
}

static int read_file(const struct loader *l, const char *path, char **ret, size_t *ret_len)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO must not hang the loader before fstat refuses it. */
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(l->err, errno, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(l->err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(l->err, EINVAL, "%s: not a regular file", path);
	cleanup_free char *text = malloc(FILE_MAX + 1);
	if (!text)
		return loader_no_memory(l);
	ssize_t len = fd_read_all(fd, text, FILE_MAX + 1);
	if (len < 0)
		return err_sys(l->err, (int)-len, "%s", path);
	if (len > FILE_MAX)
		return err_set(l->err, EINVAL, "%s: larger than 1 MiB", path);
	*ret = take_ptr(text);
	*ret_len = (size_t)len;
	return 0;
}

/* json-c reads the values; the structure was checked before, so what fails here is a word. */
static int parse_values(const struct loader *l, const char *text, size_t len,
			struct json_object **ret)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_LINES_DEPTH_MAX + 4);
	if (!tok)
		return loader_no_memory(l);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
					    JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *json = json_tokener_parse_ex(tok, text, (int)len);
	enum json_tokener_error error = json_tokener_get_error(tok);
	/* A number at the very end has no terminator to tell json-c that it is over. */
	if (error == json_tokener_continue) {
		json = json_tokener_parse_ex(tok, " ", 1);
		error = json_tokener_get_error(tok);
	}
	size_t end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (error == json_tokener_success) {
		*ret = json;
		return 0;
	}
	unsigned line = 1;
	for (size_t i = 0; i < end && i < len; i++)
		line += text[i] == '\n';
	json_object_put(json);
	return err_set(l->err, EINVAL, "%s:%u: %s", l->file, line, json_tokener_error_desc(error));
}

static int load_text(struct loader *l, char *text, size_t len, const char *file, const char *id);

static bool in_dirs(const struct loader *l, const char *id)
{
	for (const char *const *dir = l->dirs; dir && *dir; dir++) {
		cleanup_free char *real = realpath(*dir, NULL);
		size_t len = real ? strlen(real) : 0;
		if (len && !strncmp(id, real, len) && id[len] == '/')
			return true;
	}
	return false;
}

/* The text as it was read: what is trusted is what is parsed. */
static int add_digest(struct loader *l, const char *text, size_t len)
{
	char pair[2 * HASH_HEX], hash[HASH_HEX];
	hash_hex(text, len, hash);
	int n = snprintf(pair, sizeof(pair), "%s%s", l->p->digest ? l->p->digest : "", hash);
	hash_hex(pair, (size_t)n, hash);
	l->p->digest = arena_strndup(&l->store->arena, hash, sizeof(hash) - 1);
	return l->p->digest ? 0 : loader_no_memory(l);
}

static int load_file(struct loader *l, const char *path)
{
	cleanup_free char *text = NULL;
	cleanup_free char *id = realpath(path, NULL);
	size_t len = 0;
	if (!id)
		return err_sys(l->err, errno, "%s", path);
	int rc = read_file(l, path, &text, &len);
	if (rc == 0 && !in_dirs(l, id))
		rc = add_digest(l, text, len);
	return rc ? rc : load_text(l, text, len, path, id);
}

bool policy_is_path(const char *name)
{
	size_t len = strlen(name);
	return strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".json") == 0);
}

static bool is_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* NAME.json, or a relative path, in the directories policies are searched in. */
static bool find_in_dirs(const struct loader *l, const char *name, const char *suffix,
			 char path[static PATH_MAX])
{
	for (const char *const *dir = l->dirs; dir && *dir; dir++) {
		int n = snprintf(path, PATH_MAX, "%s/%s%s", *dir, name, suffix);
		if (n < PATH_MAX && is_file(path))
			return true;
	}
	return false;
}

enum { HINT_SIZE = 160 };

/* Where to look, and the policy whose name is closest to a mistyped one. */
static void suggest(const struct loader *l, const char *name, char *out, size_t size)
{
	snprintf(out, size, "; see \"vsandbox policy list\"");
	for (const char *const *dir = l->dirs; dir && *dir; dir++) {
		cleanup_dir DIR *d = opendir(*dir);
		const struct dirent *e;
		while (d && (e = readdir(d))) {
			char stem[64];
			size_t len = strlen(e->d_name);
			if (len <= 5 || len - 5 >= sizeof(stem) ||
			    strcmp(e->d_name + len - 5, ".json") != 0)
				continue;
			memcpy(stem, e->d_name, len - 5);
			stem[len - 5] = '\0';
			if (strchr(stem, '.'))
				continue;
			const char *const known[] = { stem, NULL };
			if (nearest_word(name, known, sizeof(*known))) {
				snprintf(out, size,
					 "; did you mean \"%s\"? See \"vsandbox policy list\"",
					 stem);
				return;
			}
		}
	}
}

/* Resolves a name or path as @from (a file, NULL: the command line) gives it. */
static int find(const struct loader *l, const char *name, const char *from,
		char path[static PATH_MAX], char hint[static HINT_SIZE])
{
	hint[0] = '\0';
	if (!policy_is_path(name)) {
		/* A name with a dot is a file, not a policy. */
		if (*name && !strchr(name, '.') && find_in_dirs(l, name, ".json", path))
			return 0;
		suggest(l, name, hint, HINT_SIZE);
		return -ENOENT;
	}
	const char *slash = from && name[0] != '/' ? strrchr(from, '/') : NULL;
	int n = snprintf(path, PATH_MAX, "%.*s%s", slash ? (int)(slash - from + 1) : 0,
			 slash ? from : "", name);
	if (n < PATH_MAX && is_file(path))
		return 0;
	return from && name[0] != '/' && find_in_dirs(l, name, "", path) ? 0 : -ENOENT;
}

static int extend(struct loader *l, struct value v)
{
	int rc = value_expect(l, &v, json_type_array, "a list of names or paths");
	const char *file = l->file;
	for (const struct json_line *c = v.at->first; rc == 0 && c; c = c->next) {
		char path[PATH_MAX], hint[HINT_SIZE];
		struct value item = { json_object_array_get_idx(v.json, c->index), c };
		rc = value_expect(l, &item, json_type_string, "a name or a path");
		if (rc)
			return rc;
		const char *name = json_object_get_string(item.json);
		rc = find(l, name, file, path, hint);
		if (rc) {
			loader_fail(l, c, "no policy \"%s\"%s", name, hint);
			return rc;
		}
		cleanup_free char *id = realpath(path, NULL);
		const struct loaded *seen = l->loaded;
		while (seen && id && strcmp(seen->id, id) != 0)
			seen = seen->next;
		if (seen && seen->open) {
			loader_fail(l, c, "\"%s\" extends itself", name);
			return -ELOOP;
		}
		if (seen)
			continue; /* two policies share a part: it counts once */
		if (l->depth >= EXTENDS_DEPTH_MAX)
			return loader_fail(l, c, "policies extend each other more than %d deep",
					   EXTENDS_DEPTH_MAX);
		l->depth++;
		rc = load_file(l, path);
		l->depth--;
		l->file = file;
	}
	return rc;
}

static void note_inherited_blocks(struct loader *l)
{
	for (unsigned i = 0; i < l->p->rule_count; i++) {
		const struct policy_rule *r = &l->p->rules[i];
		if (r->effect != EFFECT_BLOCK)
			continue;
		if (!l->inherited_block || r->priority < l->block_priority)
			l->block_priority = r->priority;
		l->inherited_block = true;
	}
}

static int apply(struct loader *l, struct value root)
{
	struct policy *p = l->p;
	int rc = value_expect(l, &root, json_type_object, "an object");
	if (rc)
		return rc;
	for (const struct json_line *c = root.at->first; rc == 0 && c; c = c->next)
		if (strcmp(c->key, "extends") == 0)
			rc = extend(l,
				    (struct value){ json_object_object_get(root.json, c->key), c });
	if (rc)
		return rc;
	note_inherited_blocks(l);
	/* A name and a promise are a policy's own. */
	const char *base = strrchr(l->file, '/');
	base = base ? base + 1 : l->file;
	size_t stem = strlen(base);
	if (stem > 5 && strcmp(base + stem - 5, ".json") == 0)
		stem -= 5;
	p->name = arena_strndup(&l->store->arena, base, stem);
	p->description = "";
	p->origin = (struct policy_origin){ l->file, root.at->line };
	rc = p->name ? keys_apply(l, root, "", p) : loader_no_memory(l);
	/* "allowlist" without a list allows none; not to speak of hosts at all allows all. */
	const struct json_line *c = root.at->first;
	while (c && strcmp(c->key, "network") != 0)
		c = c->next;
	for (c = rc == 0 && c ? c->first : NULL; c; c = c->next)
		if (strcmp(c->key, "mode") == 0 && p->net == NET_ALLOWLIST)
			p->allow_hosts.present = true;
	return rc;
}

static int load_text(struct loader *l, char *text, size_t len, const char *file, const char *id)
{
	struct loaded *entry = arena_alloc(&l->store->arena, sizeof(*entry));
	const struct json_line *root = NULL;
	struct json_object *json = NULL;
	l->file = arena_strndup(&l->store->arena, file, strlen(file));
	if (!entry || !l->file)
		return loader_no_memory(l);
	entry->id = arena_strndup(&l->store->arena, id, strlen(id));
	if (!entry->id)
		return loader_no_memory(l);
	entry->open = true;
	entry->next = l->loaded;
	l->loaded = entry;
	if (len > FILE_MAX)
		return err_set(l->err, EINVAL, "%s: larger than 1 MiB", l->file);
	int rc = json_lines_scan(text, len, l->file, &l->store->arena, &root, l->err);
	if (rc == -ENOMEM)
		return loader_no_memory(l);
	if (rc == 0)
		rc = parse_values(l, text, len, &json);
	if (rc == 0)
		rc = apply(l, (struct value){ json, root });
	json_object_put(json);
	entry->open = false;
	return rc;
}

/* A value of the environment as patterns need it: canonical, without a trailing '/'. */
static const char *keep_dir(struct policy_store *store, const char *dir)
{
	if (!dir || dir[0] != '/')
		return NULL;
	cleanup_free char *real = realpath(dir, NULL);
	const char *text = real ? real : dir;
	size_t len = strlen(text);
	while (len > 1 && text[len - 1] == '/')
		len--;
	return arena_strndup(&store->arena, text, len);
}

static int start(struct loader *l, const struct policy_env *env, struct err *err)
{
	l->err = err;
	struct policy_store *store = calloc(1, sizeof(*store));
	l->store = store;
	l->p = store ? arena_alloc(&store->arena, sizeof(*l->p)) : NULL;
	if (!l->p) {
		free(store);
		return err_sys(err, ENOMEM, "policy");
	}
	*l->p = defaults;
	if (env && env->neutral)
		neutralize(l->p);
	l->neutral = env && env->neutral;
	l->p->arena = store;
	l->dirs = env ? env->dirs : NULL;
	store->home = keep_dir(store, env ? env->home : NULL);
	store->workspace = keep_dir(store, env ? env->workspace : NULL);
	store->tmpdir = keep_dir(store, env && env->tmpdir ? env->tmpdir : "/tmp");
	return 0;
}

static int finish(struct loader *l, int rc, struct policy **ret)
{
	if (rc == 0 && index_build_all(&l->store->arena, l->p))
		rc = loader_no_memory(l);
	if (rc) {
		policy_free(l->p);
		return rc;
	}
	rules_sort(l->p);
	if (l->neutral && l->p->net == NET_HOST && l->p->allow_hosts.present)
		l->p->net = NET_ALLOWLIST; /* a list without a mode is one, as by default */
	*ret = l->p;
	return 0;
}

int policy_load(const char *name_or_path, const struct policy_env *env, struct policy **ret,
		struct err *err)
{
	struct loader l = { .file = name_or_path };
	char path[PATH_MAX], hint[HINT_SIZE];
	int rc = start(&l, env, err);
	if (rc)
		return rc;
	rc = find(&l, name_or_path, NULL, path, hint);
	if (rc)
		err_set(err, ENOENT, "no policy%s \"%s\"%s",
			policy_is_path(name_or_path) ? " file" : "", name_or_path, hint);
	else
		rc = load_file(&l, path);
	return finish(&l, rc, ret);
}

int policy_parse(const char *text, size_t len, const char *file, const struct policy_env *env,
		 struct policy **ret, struct err *err)
{
	struct loader l = { .file = file };
	int rc = start(&l, env, err);
	if (rc)
		return rc;
	cleanup_free char *copy = len <= FILE_MAX ? malloc(len + 1) : NULL;
	if (len > FILE_MAX) {
		rc = err_set(err, EINVAL, "%s: larger than 1 MiB", file);
	} else if (!copy) {
		rc = loader_no_memory(&l);
	} else {
		memcpy(copy, text, len);
		copy[len] = '\0';
		rc = load_text(&l, copy, len, file, file);
	}
	return finish(&l, rc, ret);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	policy_free(p->also);
	struct policy_store *store = p->arena;
	arena_finish(&store->arena); /* @p lies in it */
	free(store);
}
