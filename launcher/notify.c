#include "launcher/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/log.h"
#include "launcher/term.h"

enum {
	VALUE_MAX = 8192, /* of one variable */
	VALUES = 10,
	LOOK_MS = 100, /* one runs and another is due */
};

static const struct approval *untold(const struct approvals *a)
{
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		if (a->items[i].id && !a->items[i].notified)
			return &a->items[i];
	return NULL;
}

/* NAME=value, escaped and cut; owned by the caller. NULL: no memory. */
static char *variable(const char *name, const char *text)
{
	char *storage = malloc(VALUE_MAX);
	struct buf b;
	if (!storage)
		return NULL;
	buf_init(&b, storage, VALUE_MAX);
	buf_printf(&b, "%s=", name);
	buf_term(&b, text, strlen(text));
	return storage;
}

/* The command as it may be typed, as far as there is room for it. */
static char *command_variable(struct json_object *argv)
{
	char *storage = malloc(VALUE_MAX);
	struct buf b;
	if (!storage)
		return NULL;
	buf_init(&b, storage, VALUE_MAX);
	buf_puts(&b, "VSANDBOX_COMMAND=");
	for (size_t i = 0; json_object_is_type(argv, json_type_array) &&
			   i < json_object_array_length(argv) && !b.overflow;
	     i++) {
		const char *arg = json_object_get_string(json_object_array_get_idx(argv, i));
		char *const one[] = { (char *)(uintptr_t)(arg ? arg : ""), NULL };
		buf_puts(&b, i ? " " : "");
		term_argv(&b, one);
	}
	return storage;
}

static void values_free(char **values)
{
	for (unsigned i = 0; i < VALUES; i++)
		free(values[i]);
}

static bool values_make(const struct approvals *a, const struct approval *p, char **values)
{
	char id[16], waiting[16], score[16];
	struct json_object *e = p->event;
	snprintf(id, sizeof(id), "%u", p->id);
	snprintf(waiting, sizeof(waiting), "%u", a->count);
	snprintf(score, sizeof(score), "%.2f", event_real(e, "score"));
	const struct {
		const char *name, *text;
	} list[VALUES - 1] = {
		{ "VSANDBOX_SESSION", a->session },
		{ "VSANDBOX_APPROVAL", id },
		{ "VSANDBOX_WAITING", waiting },
		{ "VSANDBOX_TYPE", event_what(e) },
		{ "VSANDBOX_OP", event_text(e, "op") },
		{ "VSANDBOX_RESOURCE", event_subject(e) },
		{ "VSANDBOX_PROGRAM", event_text(e, "program") },
		{ "VSANDBOX_RULE", event_text(e, "rule") },
		{ "VSANDBOX_SCORE", score },
	};
	bool good = (values[VALUES - 1] = command_variable(json_object_object_get(e, "argv")));
	for (unsigned i = 0; i < VALUES - 1; i++)
		good &= (values[i] = variable(list[i].name, list[i].text)) != NULL;
	return good;
}

/* Ours without what a caller may have set of these names, then @values. Owned; its strings are not. */
static char **environment(char **values)
{
	unsigned count = 0, used = 0;
	while (environ[count])
		count++;
	char **ret = calloc(count + VALUES + 1, sizeof(*ret));
	for (unsigned i = 0; ret && i < count; i++)
		if (strncmp(environ[i], "VSANDBOX_", strlen("VSANDBOX_")) != 0)
			ret[used++] = environ[i];
	for (unsigned i = 0; ret && i < VALUES; i++)
		ret[used++] = values[i];
	return ret;
}

/* 0 with the process, or an errno. */
static int spawn(const char *program, char **envp, pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char *argv[] = { (char *)(uintptr_t)program, NULL };
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	int r = 0;
	for (int fd = 0; r == 0 && fd < 3; fd++)
		r = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (r == 0)
		r = posix_spawn(ret, program, &files, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

static void start(struct notify *n, const struct approvals *a, const struct approval *p,
		  uint64_t now_ms)
{
	char *values[VALUES] = { NULL };
	cleanup_free char **envp = NULL;
	int r = values_make(a, p, values) && (envp = environment(values)) ? 0 : ENOMEM;
	if (r == 0)
		r = spawn(n->program, envp, &n->pid);
	values_free(values);
	if (r) {
		n->pid = 0;
		log_warn("%s: %s; nobody is told of approval %u by it, continuing", n->program,
			 strerrordesc_np(r), p->id);
	}
	n->next_ms = now_ms + NOTIFY_INTERVAL_MS;
	n->kill_ms = now_ms + NOTIFY_PATIENCE_MS;
}

static void reap(struct notify *n, uint64_t now_ms)
{
	int status;
	if (!n->pid)
		return;
	if (waitpid(n->pid, &status, WNOHANG) != 0) {
		n->pid = 0;
	} else if (now_ms >= n->kill_ms) {
		kill(-n->pid, SIGKILL); /* it leads a session, and with it a group, of its own */
		n->kill_ms = now_ms + NOTIFY_PATIENCE_MS;
	}
}

void notify_tend(struct notify *n, struct approvals *a, uint64_t now_ms)
{
	reap(n, now_ms);
	const struct approval *p = n->program && *n->program ? untold(a) : NULL;
	if (!p || n->pid || now_ms < n->next_ms)
		return;
	start(n, a, p, now_ms);
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		a->items[i].notified = a->items[i].id != 0;
}

uint64_t notify_due_ms(const struct notify *n, const struct approvals *a, uint64_t now_ms)
{
	bool more = n->program && *n->program && untold(a);
	if (n->pid)
		return more ? now_ms + LOOK_MS : n->kill_ms;
	return more ? n->next_ms > now_ms ? n->next_ms : now_ms : 0;
}
