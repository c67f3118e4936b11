#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/scope.h"
#include "launcher/choice.h"
#include "launcher/dump.h"
#include "launcher/exit.h"
#include "launcher/kept.h"
#include "launcher/log.h"
#include "launcher/policy_text.h"
#include "launcher/policy_verbs.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/verb.h"

const struct option_spec policy_options[] = {
	[POLICY_RESOLVED] = { "resolved", 0, NULL,
			      "show: one file without extends, with where each value is from" },
	[POLICY_NAMES] = { "names", 0, NULL, "list: the names alone" },
	[POLICY_JSON] = { "json", 0, NULL, "list, show, test: as JSON" },
	[POLICY_TEMPLATE] = { "template", 0, "NAME",
			      "create: the policy it extends (default dev)" },
	[POLICY_AGENT_ID] = { "agent-id", 0, "ID", "create: for the agent of run --name ID" },
	[POLICY_YES] = { "yes", 'y', NULL, "delete, trust: do not ask" },
	[POLICY_LOG] = { "log", 0, "SESSION|FILE", "test: the log that is replayed" },
	[POLICY_FAIL_ON] = { "fail-on", 0, "stricter|looser|any|none",
			     "test: which changes make the exit code 1 (default any)" },
	[POLICY_NAME] = { "name", 0, "AGENT", "test: with this agent's baseline" },
	[POLICY_REVOKE] = { "revoke", 0, NULL, "trust: no longer" },
	{ NULL },
};

void policy_environment(struct policy_env *env)
{
	static char cwd[STATE_PATH_SIZE];
	choice_env(getcwd(cwd, sizeof(cwd)) ? cwd : "/", env);
}

static void print_entry(const struct policy *p, bool json, unsigned *count)
{
	if (json) {
		fputs((*count)++ ? ",{" : "{", stdout);
		json_member(stdout, true, "name", p->name);
		json_member(stdout, false, "file", p->origin.file);
		json_member(stdout, false, "description", p->description);
		json_member(stdout, false, "mode", policy_mode_name(p->mode));
		putchar('}');
		return;
	}
	char name[256];
	struct buf b;
	buf_init(&b, name, sizeof(name));
	buf_term(&b, p->name, strlen(p->name));
	printf("%-18s ", name);
	term_text(stdout, p->description ? p->description : "");
	putchar('\n');
}

static int list_directory(const char *path, const struct options *o, unsigned *shown,
			  struct err *err)
{
	struct dirent **entries;
	struct policy_env env;
	bool names = options_has(o, POLICY_NAMES);
	int count = scandir(path, &entries, NULL, alphasort);
	policy_environment(&env);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		size_t len = strlen(name);
		char file[STATE_PATH_SIZE];
		struct policy *p = NULL;
		snprintf(file, sizeof(file), "%s/%s", path, name);
		if (len > 5 && !strcmp(name + len - 5, ".json") && !strchr(name, '/') &&
		    !strstr(name, "schema")) {
			if (names)
				printf("%.*s\n", (int)len - 5, name);
			else if (policy_load(file, &env, &p, err) < 0)
				log_warn("%s", err->text);
			else
				print_entry(p, options_has(o, POLICY_JSON), shown);
			policy_free(p);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return 0;
}

static int policy_list(const struct options *o, struct err *err)
{
	unsigned shown = 0;
	int r = options_want_args(o, 0, 0, err);
	bool json = r == 0 && options_has(o, POLICY_JSON);
	if (json)
		fputs("{\"schema_version\":1,\"policies\":[", stdout);
	for (const char *const *dir = state_policy_dirs(); r == 0 && *dir; dir++)
		r = list_directory(*dir, o, &shown, err);
	if (json)
		puts("]}");
	return r;
}

static int print_file(const char *path, struct err *err)
{
	char text[65536];
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	ssize_t n;
	while ((n = read(fd, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	return n < 0 ? err_sys(err, errno, "%s", path) : 0;
}

/* The one policy that the arguments name; the caller's to release. */
static int load_named(const struct options *o, struct policy **ret, struct err *err)
{
	struct policy_env env;
	int r = options_want_args(o, 1, 1, err);
	if (r < 0)
		return r;
	policy_environment(&env);
	return policy_load(o->args[0], &env, ret, err);
}

static int policy_show(const struct options *o, struct err *err)
{
	struct policy *p;
	int r = load_named(o, &p, err);
	if (r < 0)
		return r;
	r = kept_load(p, err);
	if (r < 0) {
		policy_free(p);
		return r;
	}
	if (options_has(o, POLICY_JSON)) {
		dump_policy(stdout, p);
		putchar('\n');
	} else if (options_has(o, POLICY_RESOLVED)) {
		r = policy_text_write(stdout, p, err);
	} else {
		r = print_file(p->origin.file, err);
	}
	policy_free(p);
	return r;
}

static int policy_check(const struct options *o, struct err *err)
{
	struct policy *p;
	int r = load_named(o, &p, err);
	if (r < 0)
		return r;
	fputs("ok: ", stdout);
	term_text(stdout, p->name);
	printf(" (%u rules, %u blocked patterns)\n", p->rule_count, p->blocked.count);
	policy_free(p);
	return 0;
}

static int policy_schema(const struct options *o, struct err *err)
{
	int r = options_want_args(o, 0, 0, err);
	if (r < 0)
		return r;
	for (const char *const *dir = state_policy_dirs(); *dir; dir++) {
		char path[STATE_PATH_SIZE];
		snprintf(path, sizeof(path), "%s/schema/policy.schema.json", *dir);
		if (access(path, R_OK) == 0)
			return print_file(path, err);
	}
	return err_set(err, ENOENT, "the policy schema is not installed");
}

static const struct {
	const char *name;
	int (*run)(const struct options *o, struct err *err);
} subverbs[] = {
	{ "list", policy_list },     { "show", policy_show },   { "create", policy_create },
	{ "check", policy_check },   { "test", policy_test },   { "schema", policy_schema },
	{ "delete", policy_delete }, { "trust", policy_trust }, { NULL },
};

const char *const policy_subverbs = "list show create check test schema delete trust";

int cmd_policy(const struct options *o)
{
	static struct options rest;
	struct err err;
	if (!o->arg_count) {
		log_error("usage: vsandbox policy list|show NAME|create NAME|check FILE|test FILE|"
			  "schema|delete NAME|trust [FILE]");
		return EXIT_USAGE;
	}
	for (size_t i = 0; subverbs[i].name; i++) {
		if (strcmp(subverbs[i].name, o->args[0]))
			continue;
		int r = options_parse(policy_options, o->args + 1, &rest, &err);
		if (r == OPTIONS_HELP) {
			help_print(verb_find("policy"));
			return out_finish();
		}
		rest.verb = o->verb;
		if (r == 0)
			r = subverbs[i].run(&rest, &err); /* >= 0 is the exit code */
		if (r >= 0) {
			int out = out_finish();
			return out ? out : r;
		}
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	const char *near = nearest_word(o->args[0], &subverbs[0].name, sizeof(subverbs[0]));
	if (near)
		log_error("policy has no '%s'; did you mean %s?", o->args[0], near);
	else
		log_error("policy has no '%s'; vsandbox help policy", o->args[0]);
	return EXIT_USAGE;
}
