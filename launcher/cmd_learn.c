/*
 * learn: runs a command under the policy observe, inside an overlay as always, and writes the
 * tightest policy a person can read that lets the same job through. The proposal is loaded and
 * asked about every action of the log before it is told to be any good.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/choice.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/observed.h"
#include "launcher/proposal.h"
#include "launcher/replay.h"
#include "launcher/run.h"
#include "launcher/session.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { LEARN_OUTPUT, LEARN_MERGE, LEARN_FIRST_OF_RUN };
/* From LEARN_FIRST_OF_RUN on: handed to run as they are, under the same names. */
const struct option_spec learn_options[] = {
	[LEARN_OUTPUT] = { "output", 'o', "FILE", "where the policy goes (default learned.json)" },
	[LEARN_MERGE] = { "merge", 0, NULL,
			  "keep what FILE allows already and add what this job needs" },
	[LEARN_FIRST_OF_RUN] = { "name", 0, "AGENT", "whose baseline to use" },
	{ "env", 0, "K[=V]", "set a variable, or pass it on; repeatable" },
	{ "clean-env", 0, NULL, "pass only PATH, HOME, TERM, the locale and the like" },
	{ "net", 0, "none|host", "the network inside" },
	{ "mem", 0, "SIZE", "memory limit: 512M, 2G" },
	{ "cpu", 0, "N", "CPU limit, in processors: 1.5" },
	{ "pids", 0, "N", "limit of processes and threads" },
	{ "timeout", 0, "SECONDS", "end the run after that time, with exit code 124" },
	{ "allow-degraded", 0, "LAYER", "run although this layer is missing; repeatable" },
	{ "quiet", 'q', NULL, "only errors on stderr" },
	{ NULL },
};

struct learn {
	const char *output;
	char *const *command;
	struct policy_env env;
	char cwd[STATE_PATH_SIZE];
	char *workspace, *home, *tmpdir; /* canonical; owned */
	struct policy *base;             /* owned: what needs no proposal */
	struct policy *kept;             /* owned; NULL without --merge */
};

static int run_observed(const struct learn *l, const struct options *o, char *session)
{
	static struct options run;
	static char names[OPTIONS_GIVEN_MAX][OPTION_WORD_SIZE];
	char *argv[2 * OPTIONS_GIVEN_MAX + 8];
	struct err err;
	int n = options_words(o, LEARN_FIRST_OF_RUN, names, argv, 2 * OPTIONS_GIVEN_MAX);
	static char policy[] = "--policy", observe[] = "observe", mode[] = "--mode",
		    alone[] = "--no-project", end[] = "--";
	char *const fixed[] = { policy, observe, mode, observe, alone, end };
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		argv[n++] = fixed[i];
	argv[n] = NULL;
	if (options_parse(run_options, argv, &run, &err) != 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return run_command(&run, l->command, session);
}

static char *canonical(const char *path)
{
	return path ? realpath(path, NULL) : NULL;
}

static int learn_prepare(struct learn *l, const struct options *o, struct err *err)
{
	const char *output = options_value(o, LEARN_OUTPUT);
	l->output = output ? output : "learned.json";
	l->command = o->args;
	if (!o->arg_count)
		return err_set(err, EINVAL,
			       "what is to be learnt? vsandbox learn [OPTION…] -- COMMAND [ARG…]");
	if (!options_has(o, LEARN_MERGE) && access(l->output, F_OK) == 0)
		return err_set(err, EEXIST,
			       "%s is there already: --merge adds to it, -o FILE "
			       "names another",
			       l->output);
	if (!getcwd(l->cwd, sizeof(l->cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	choice_env(l->cwd, &l->env);
	l->workspace = canonical(l->env.workspace);
	l->home = canonical(l->env.home);
	l->tmpdir = canonical(l->env.tmpdir);
	if (!options_has(o, LEARN_MERGE))
		return policy_parse(proposal_base, strlen(proposal_base), "common", &l->env,
				    &l->base, err);
	char path[STATE_PATH_SIZE];
	snprintf(path, sizeof(path), "%s%s", strchr(l->output, '/') ? "" : "./", l->output);
	int r = policy_load(path, &l->env, &l->kept, err);
	/* What a policy allows without naming it would be lost from the file written anew. */
	if (r == 0 && (l->kept->spawn || !l->kept->allowed_read.present))
		r = err_set(err, EINVAL, "%s: --merge adds to a policy that learn wrote", path);
	return r < 0 ? r : policy_load(path, &l->env, &l->base, err);
}

static int proposal_text(const struct learn *l, const struct observed *o, char **ret, size_t *len,
			 struct err *err)
{
	char command[4096], description[4200], name[256];
	struct buf b;
	const char *slash = strrchr(l->output, '/');
	snprintf(name, sizeof(name), "%s", slash ? slash + 1 : l->output);
	char *dot = strrchr(name, '.');
	if (dot && dot != name)
		*dot = '\0';
	buf_init(&b, command, sizeof(command));
	term_argv(&b, l->command);
	snprintf(description, sizeof(description), "Learned from: %s", command);
	const struct collapse_env env = { l->workspace, l->tmpdir, l->home };
	const struct proposal p = {
		.name = name,
		.command = description,
		.env = &env,
		.kept = l->kept,
		.kept_file = l->kept ? l->kept->origin.file : NULL,
	};
	FILE *f = open_memstream(ret, len);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	int r = proposal_write(f, &p, o, err);
	return fclose(f) == 0 ? r : err_set(err, ENOMEM, "out of memory");
}

/* Asks @p about every action of the log. Number of those denied that are no secret, or -errno. */
static int prove(const struct session *s, const struct policy *p, struct err *err)
{
	struct eventfile f;
	struct eventfile_line line;
	struct replay_room room;
	struct action a;
	int denied = 0;
	struct history *h = history_new();
	int r = h ? eventfile_open(s->dirfd, &f, err) : err_set(err, ENOMEM, "out of memory");
	if (r < 0) {
		history_free(h);
		return r;
	}
	while ((r = eventfile_next(&f, &line, err)) == 1) {
		struct decision d = { 0 };
		if (replay_action(line.json, &room, &a))
			replay_judge(p, h, &a, &d);
		if (d.verdict >= VERDICT_PAUSE && d.reason != REASON_BLOCKED) {
			denied++;
			log_error("the proposal would deny %s %s (%s)", action_type_name(a.type),
				  a.resource, reason_name(d.reason));
		}
		json_object_put(line.json);
	}
	eventfile_close(&f);
	history_free(h);
	return r < 0 ? r : denied;
}

/* Count of patterns of @list that @file itself holds. */
static unsigned own(const struct policy_patterns *list, const char *file)
{
	unsigned count = 0;
	for (unsigned i = 0; i < list->count; i++)
		count += !strcmp(list->items[i].origin.file, file);
	return count;
}

static void tell(const struct learn *l, const struct observed *o, const struct policy *p)
{
	const char *file = p->origin.file;
	log_info("observed %llu actions; %llu ambient and %llu more were granted already",
		 (unsigned long long)o->actions, (unsigned long long)o->ambient,
		 (unsigned long long)o->covered);
	unsigned both = own(&p->allowed, file);
	log_info("          observed  granted");
	log_info("read      %8zu  %u patterns", observed_count(o, OBSERVED_READ),
		 both + own(&p->allowed_read, file));
	log_info("written   %8zu  %u patterns", observed_count(o, OBSERVED_WRITE),
		 both + own(&p->allowed_write, file));
	log_info("executed  %8zu  %u patterns", observed_count(o, OBSERVED_EXEC),
		 own(&p->spawn_allowed, file));
	log_info("hosts     %8zu  %u patterns", o->host_count, own(&p->allow_hosts, file));
	for (size_t i = 0; i < o->secret_count; i++) {
		char path[600];
		struct buf b;
		buf_init(&b, path, sizeof(path));
		term_path(&b, o->secrets[i].path);
		log_warn("not proposed: %s %s is a secret (%s)",
			 action_type_name(o->secrets[i].type), path, o->secrets[i].rule);
	}
	log_info("wrote %s; read it, then: vsandbox run -p %s%s -- …", l->output,
		 strchr(l->output, '/') ? "" : "./", l->output);
}

static int write_output(const struct learn *l, const char *text, size_t len, struct err *err)
{
	char *slash = strrchr(l->output, '/');
	char dir[STATE_PATH_SIZE];
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - l->output) : 1,
		 slash ? l->output : ".");
	cleanup_fd int fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", dir);
	return state_write_file(fd, slash ? slash + 1 : l->output, text, len, err);
}

static int propose(const struct learn *l, const char *id, struct err *err)
{
	struct session s;
	struct observed seen = { 0 };
	struct policy *p = NULL;
	cleanup_free char *text = NULL;
	size_t len = 0;
	int r = session_find(id, &s, err);
	if (r < 0)
		return r;
	r = observed_read(s.dirfd, l->base, &seen, err);
	if (r == 0)
		r = proposal_text(l, &seen, &text, &len, err);
	if (r == 0)
		r = policy_parse(text, len, l->output, &l->env, &p, err);
	if (r == 0)
		r = prove(&s, p, err);
	if (r > 0)
		r = err_set(err, EBADE, "no policy written: it would deny %d of these actions", r);
	if (r == 0)
		r = write_output(l, text, len, err);
	if (r == 0)
		tell(l, &seen, p);
	policy_free(p);
	observed_finish(&seen);
	session_close(&s);
	return r;
}

int cmd_learn(const struct options *o)
{
	struct learn l = { 0 };
	char session[SESSION_ID_SIZE] = "";
	struct err err = { "" };
	int code = EXIT_USAGE;
	int r = learn_prepare(&l, o, &err);
	if (r == 0) {
		code = run_observed(&l, o, session);
		r = *session ? propose(&l, session, &err) : 0;
	}
	if (r < 0) {
		log_error("%s", err.text);
		code = EXIT_USAGE;
	}
	policy_free(l.base);
	policy_free(l.kept);
	free(l.workspace);
	free(l.home);
	free(l.tmpdir);
	return code;
}
