/*
 * What people at the control plane ask of a session: what runs is asked by its control socket, what only a verb
 * does is done by that verb, as the same user, with the same checks.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/control.h"
#include "siblings/uplink.h"

enum {
	CONTROL_MS = 5000,
	ROLLBACK_MS = 55000, /* the server waits for 60 s */
	VERB_MS = 9000,      /* and for 10 s for the rest */
	VERB_OUT_MAX = 256 << 10,
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int ask(struct session *s, const char *request, struct json_object *argument, int timeout_ms,
	       struct json_object **ret, struct err *err)
{
	int r = s->state == SESSION_RUNNING
			? control_call(s, request, argument, timeout_ms, ret, err)
			: err_set(err, ESRCH, "session %s does not run any more", s->id);
	json_object_put(argument);
	return r;
}

static int do_simple(struct session *s, struct json_object *body, const char *kind,
		     struct json_object **ret, struct err *err)
{
	(void)body;
	return ask(s, kind, NULL, CONTROL_MS, ret, err);
}

/* {"request_id","decision","scope","reason"} */
static int do_answer(struct session *s, struct json_object *body, const char *kind,
		     struct json_object **ret, struct err *err)
{
	const char *scope = event_text(body, "scope"), *reason = event_text(body, "reason");
	char why[512];
	snprintf(why, sizeof(why), "at the control plane%s%.400s", *reason ? ": " : "", reason);
	struct json_object *o = json_object_new_object();
	json_object_object_add(
		o, "id", json_object_new_int64(strtoll(event_text(body, "request_id"), NULL, 10)));
	json_object_object_add(
		o, "allow",
		json_object_new_boolean(!strcmp(event_text(body, "decision"), "allow")));
	json_object_object_add(o, "scope", json_object_new_string(*scope ? scope : "once"));
	json_object_object_add(o, "reason", json_object_new_string(why));
	json_object_object_add(o, "server", json_object_new_boolean(1));
	return ask(s, kind, o, CONTROL_MS, ret, err);
}

/* In the contract's words: how many actions are undone, and which part of the log that was. */
static int do_rollback(struct session *s, struct json_object *body, const char *kind,
		       struct json_object **ret, struct err *err)
{
	struct json_object *o = json_object_new_object(), *result = NULL, *ids;
	int64_t last = event_number(body, "last");
	char message[256];
	json_object_object_add(o, "last", json_object_new_int64(last > 0 ? last : 1));
	json_object_object_add(o, "dry_run", json_object_new_boolean(0));
	int r = ask(s, kind, o, ROLLBACK_MS, &result, err);
	if (r < 0)
		return r;
	int64_t undone = event_number(result, "undone"), drifted = event_number(result, "drifted");
	int64_t past = event_number(result, "past"), failed = event_number(result, "failed");
	snprintf(message, sizeof(message),
		 "%lld undone, %lld drifted, %lld past undoing, %lld failed", (long long)undone,
		 (long long)drifted, (long long)past, (long long)failed);
	ids = json_object_new_array();
	*ret = json_object_new_object();
	for (const char *const *name = (const char *const[]){ "oldest_seq", "newest_seq", NULL };
	     undone && *name; name++)
		if (name[0][0] == 'o' ||
		    event_number(result, "oldest_seq") != event_number(result, "newest_seq"))
			json_object_array_add(ids,
					      json_object_new_int64(event_number(result, *name)));
	json_object_object_add(*ret, "rolled_back", json_object_new_int64(undone));
	json_object_object_add(*ret, "action_ids", ids);
	json_object_object_add(*ret, "message", json_object_new_string(message));
	json_object_object_add(*ret, "detail", result);
	return 0;
}

/* ---- verbs ------------------------------------------------------------------------------------------- */

/* `vsandbox` beside us or in its place, and the state directory as the session has it. */
_Noreturn static void become_verb(const struct session *s, const char *const *args, int out)
{
	char self[PATH_MAX], state[STATE_PATH_SIZE + 32];
	union {
		const char *in;
		char *out;
	} argv[16] = { { .in = "vsandbox" } };
	char *list[16] = { argv[0].out };
	for (unsigned i = 1; *args && i < 15; i++, args++) {
		argv[i].in = *args;
		list[i] = argv[i].out;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 32);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		_exit(126);
	strcpy(slash, "/vsandbox");
	snprintf(state, sizeof(state), "XDG_STATE_HOME=%s", s->path);
	for (unsigned up = 0; up < 3; up++) /* STATE/sessions/ID, STATE is …/vsandbox */
		*strrchr(state, '/') = '\0';
	char path[] = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
	char *const envp[] = { path, state, NULL };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(125);
	close_range(3, ~0U, 0);
	execve(self, list, envp);
	/* installed: PREFIX/libexec/vsandbox/ and PREFIX/bin/ */
	strcpy(slash, "/../../bin/vsandbox");
	execve(self, list, envp);
	_exit(126);
}

/* What it printed, for as long as the server waits. 0, or -errno with its last words. */
static int run_verb(const struct session *s, const char *const *args, char **ret_text,
		    struct err *err)
{
	int out[2], status = 0;
	size_t used = 0;
	cleanup_free char *text = calloc(1, VERB_OUT_MAX + 1);
	if (!text || pipe2(out, O_CLOEXEC) < 0)
		return err_sys(err, errno, "%s", args[0]);
	pid_t pid = fork();
	if (pid == 0)
		become_verb(s, args, out[1]);
	close(out[1]);
	int64_t until = now_ms() + VERB_MS;
	bool whole = false;
	while (pid > 0 && used < VERB_OUT_MAX) {
		int64_t left = until - now_ms();
		struct pollfd p = { .fd = out[0], .events = POLLIN };
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			break;
		ssize_t n = read(out[0], text + used, VERB_OUT_MAX - used);
		whole = n == 0;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(out[0]);
	if (pid < 0)
		return err_set(err, EAGAIN, "%s cannot be started", args[0]);
	if (!whole)
		kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	if (!whole)
		return err_set(err, used == VERB_OUT_MAX ? EFBIG : ETIMEDOUT,
			       used == VERB_OUT_MAX ? "%s: too large an answer; look at the host"
						    : "%s: not done in time, stopped",
			       args[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, EIO, "%s", used ? text : "the verb failed");
	*ret_text = take_ptr(text);
	return 0;
}

static int do_diff(struct session *s, struct json_object *body, const char *kind,
		   struct json_object **ret, struct err *err)
{
	const char *path = event_text(body, "path");
	const char *listing[] = { "diff", "--json", s->id, NULL };
	const char *patch[] = { "diff", "-p", s->id, path, NULL };
	cleanup_free char *text = NULL;
	(void)kind;
	if (*path && *path != '/') /* an absolute path cannot be an option either */
		return err_set(err, EINVAL, "the path is not absolute");
	int r = run_verb(s, *path ? patch : listing, &text, err);
	if (r < 0)
		return r;
	*ret = *path ? json_object_new_object() : json_tokener_parse(text);
	if (*path)
		json_object_object_add(*ret, "diff", json_object_new_string(text));
	return 0;
}

static int do_settle(struct session *s, struct json_object *body, const char *kind,
		     struct json_object **ret, struct err *err)
{
	const char *args[] = { kind, "--yes", s->id, NULL };
	cleanup_free char *text = NULL;
	(void)body;
	int r = run_verb(s, args, &text, err);
	if (r < 0)
		return r;
	*ret = json_object_new_object();
	json_object_object_add(*ret, "message", json_object_new_string(text));
	return 0;
}

static const struct {
	const char *kind;
	int (*run)(struct session *s, struct json_object *body, const char *kind,
		   struct json_object **ret, struct err *err);
} commands[] = {
	{ "pause", do_simple },  { "resume", do_simple },     { "kill", do_simple },
	{ "answer", do_answer }, { "rollback", do_rollback }, { "diff", do_diff },
	{ "commit", do_settle }, { "discard", do_settle },
};

struct json_object *command_carry_out(struct session *s, struct json_object *command)
{
	const char *kind = event_text(command, "kind");
	struct json_object *o = json_object_new_object(), *result = NULL;
	struct err err;
	int r = err_set(&err, ENOSYS, "this gateway knows no command '%.40s'", kind);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].kind, kind))
			r = commands[i].run(s, json_object_object_get(command, "body"), kind,
					    &result, &err);
	json_object_object_add(o, "ok", json_object_new_boolean(r == 0));
	json_object_object_add(o, "result", r == 0 ? result : json_object_new_string(err.text));
	return o;
}
