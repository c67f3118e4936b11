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
#include "launcher/dump.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { POLICY_RESOLVED, POLICY_NAMES };
const struct option_spec policy_options[] = {
	[POLICY_RESOLVED] = { "resolved", 0, NULL, "show: as loaded, with all it extends" },
	[POLICY_NAMES] = { "names", 0, NULL, "list: the names alone" },
	{ NULL },
};

static void policy_environment(struct policy_env *env)
{
	static char cwd[STATE_PATH_SIZE];
	*env = (struct policy_env){
		.home = state_home(),
		.workspace = getcwd(cwd, sizeof(cwd)) ? cwd : "/",
		.tmpdir = "/tmp",
		.dirs = state_policy_dirs(),
	};
}

static int list_directory(const char *path, bool names, struct err *err)
{
	struct dirent **entries;
	struct policy_env env;
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
				printf("%-18s %s\n", p->name, p->description ? p->description : "");
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
	int r = options_want_args(o, 0, 0, err);
	for (const char *const *dir = state_policy_dirs(); r == 0 && *dir; dir++)
		r = list_directory(*dir, options_has(o, POLICY_NAMES), err);
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

static int policy_show(const struct options *o, struct err *err)
{
	struct policy_env env;
	struct policy *p;
	int r = options_want_args(o, 1, 1, err);
	if (r < 0)
		return r;
	policy_environment(&env);
	r = policy_load(o->args[0], &env, &p, err);
	if (r < 0)
		return r;
	if (options_has(o, POLICY_RESOLVED)) {
		dump_policy(stdout, p);
		putchar('\n');
	} else {
		r = print_file(p->origin.file, err);
	}
	policy_free(p);
	return r;
}

static int policy_check(const struct options *o, struct err *err)
{
	struct policy_env env;
	struct policy *p;
	int r = options_want_args(o, 1, 1, err);
	if (r < 0)
		return r;
	policy_environment(&env);
	r = policy_load(o->args[0], &env, &p, err);
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
	{ "list", policy_list },
	{ "show", policy_show },
	{ "check", policy_check },
	{ "schema", policy_schema },
	{ NULL },
};

int cmd_policy(const struct options *o)
{
	static struct options rest;
	struct err err;
	if (!o->arg_count) {
		log_error("usage: vsandbox policy list|show NAME|check FILE|schema");
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
		if (r == 0)
			r = subverbs[i].run(&rest, &err);
		if (r == 0)
			return out_finish();
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	const char *near = nearest_word(o->args[0], &subverbs[0].name, sizeof(subverbs[0]));
	log_error("policy has no '%s'%s%s", o->args[0], near ? "; did you mean " : "",
		  near ? near : "");
	return EXIT_USAGE;
}
