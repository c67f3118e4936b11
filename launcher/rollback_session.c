#include "launcher/rollback_session.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/scope.h"
#include "launcher/changes.h"
#include "launcher/control.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/external.h"
#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/snapshots.h"
#include "launcher/term.h"
#include "sandbox/rollback.h"

enum { PATIENCE_MS = 600000, STEP_MAX = 65536 };
/* Segments are kept whatever a later policy says: a rollback drops none of the past. */
static const struct journal_options options_of_ended = { .bytes = UINT64_MAX / 2 };

int rollback_running(const struct session *s, const struct rollback_request *request,
		     struct undo_result *ret, struct err *err)
{
	struct json_object *argument = json_object_new_object(), *result = NULL;
	json_object_object_add(argument, "last", json_object_new_uint64(request->last));
	json_object_object_add(argument, "dry_run", json_object_new_boolean(request->dry_run));
	int r = control_call(s, "rollback", argument, PATIENCE_MS, &result, err);
	json_object_put(argument);
	if (r == 0 && rollback_parse(json_object_to_json_string(result), ret) < 0)
		r = err_set(err, EPROTO, "session %s gave an answer that makes no sense", s->id);
	json_object_put(result);
	return r;
}

/* Into the log of the ended session, as the monitor does into that of a running one. */
static void log_ended(const struct session *s, const struct undo_result *result)
{
	struct eventlog_reader *log = NULL;
	struct err err;
	char text[512] = "rolled back: ";
	struct buf b;
	buf_init(&b, text + strlen(text), sizeof(text) - strlen(text));
	rollback_json(result, &b);
	struct event e = { .kind = EVENT_NOTICE,
			   .text = text,
			   .result = EVENT_RESULT_PENDING,
			   .action = { .resource = "", .program = "", .size_bytes = -1 } };
	event_stamp(&e);
	int r = eventlog_reader_open(s->dirfd, s->id, &log, &err);
	if (r == 0)
		r = eventlog_append(log, &e);
	if (r < 0)
		log_warn("the session's log takes no event of the rollback, continuing");
	eventlog_reader_close(log);
}

static int run_ended(const struct session *s, const struct rollback_request *request,
		     struct undo_result *ret, struct err *err)
{
	if (*session_text(s, "container"))
		return err_set(
			err, ENOTSUP,
			"session %s was the container %s, whose files went with it: it can be "
			"rolled back while it runs, by its latest session",
			s->id, session_text(s, "container"));
	/* who else works on the session waits for its end, or says that it is in use */
	cleanup_fd int lock = openat(s->dirfd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_sys(err, errno, "session %s is in use", s->id);
	int r = session_number(s, "attached_pid")
			? rollback_real(s->dirfd, &options_of_ended, request, ret, err)
			: rollback_ended(s->dirfd, s->path, &options_of_ended, request, ret, err);
	if (r == 0 && !request->dry_run)
		log_ended(s, ret);
	return r;
}

static void print_step(FILE *f, struct json_object *step, bool dry_run)
{
	const char *outcome = event_text(step, "outcome"), *why = event_text(step, "why");
	if (dry_run && !strcmp(outcome, "undone"))
		outcome = "would undo";
	fprintf(f, "%-10s  %-8s ", outcome, event_text(step, "op"));
	term_text(f, event_text(step, "path"));
	if (*event_text(step, "path2")) {
		fputs(" -> ", f);
		term_text(f, event_text(step, "path2"));
	}
	if (*why) {
		fputs("  (", f);
		term_text(f, why);
		fputs(")", f);
	}
	fputc('\n', f);
}

/* What the session directory's rollback.jsonl says of the steps. NULL: nothing. */
static FILE *open_steps(const struct session *s)
{
	cleanup_fd int fd = openat(s->dirfd, "rollback.jsonl", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (f)
		fd = -1;
	return f;
}

static bool is_left(const char *outcome)
{
	return strcmp(outcome, undo_outcome_name(UNDO_RESTORED)) != 0 &&
	       strcmp(outcome, undo_outcome_name(UNDO_NOTHING)) != 0;
}

void rollback_print_left(const struct session *s)
{
	cleanup_file FILE *f = open_steps(s);
	cleanup_free char *line = NULL;
	size_t room = 0;
	while (f && getline(&line, &room, f) > 0) {
		struct json_object *step = json_tokener_parse(line);
		if (step && is_left(event_text(step, "outcome")))
			print_step(stderr, step, false);
		json_object_put(step);
	}
}

/* All of them. */
static void print_steps(const struct session *s, bool dry_run, bool json)
{
	cleanup_file FILE *f = open_steps(s);
	cleanup_free char *line = NULL;
	size_t room = 0;
	const char *comma = "";
	while (f && getline(&line, &room, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		if (json) {
			printf("%s%s", comma, line);
			comma = ",";
			continue;
		}
		struct json_object *step = json_tokener_parse(line);
		if (step)
			print_step(stdout, step, dry_run);
		json_object_put(step);
	}
}

uint64_t rollback_left(const struct undo_result *r)
{
	return r->outcomes[UNDO_DRIFTED] + r->outcomes[UNDO_PAST] + r->outcomes[UNDO_FAILED];
}

static void print_result(const struct rollback_wish *w, const struct session *s,
			 const struct undo_result *r)
{
	bool dry_run = w->dry_run;
	if (w->json) {
		char text[512];
		struct buf b;
		buf_init(&b, text, sizeof(text));
		rollback_json(r, &b);
		printf("{\"schema_version\":1,\"session\":\"%s\",\"dry_run\":%s,\"result\":%s,"
		       "\"steps\":[",
		       s->id, dry_run ? "true" : "false", text);
		print_steps(s, dry_run, true);
		fputs("],\"external\":", stdout);
		external_print(s->dirfd, r->oldest_seq, stdout, EXTERNAL_JSON);
		fputs("}\n", stdout);
		return;
	}
	print_steps(s, dry_run, false);
	if (r->untold)
		puts("(not all steps could be written down: no space in the state directory?)");
	if (r->continued)
		puts("an interrupted rollback was brought to its end; --last was not looked at");
	printf("%s %llu, drifted %llu, past undoing %llu, failed %llu\n",
	       dry_run ? "would undo" : "undone", (unsigned long long)r->outcomes[UNDO_RESTORED],
	       (unsigned long long)r->outcomes[UNDO_DRIFTED],
	       (unsigned long long)r->outcomes[UNDO_PAST],
	       (unsigned long long)r->outcomes[UNDO_FAILED]);
	external_print(s->dirfd, r->oldest_seq, stdout, EXTERNAL_TEXT);
}

static bool confirmed(const struct rollback_wish *w, const struct session *s)
{
	char answer[16] = "";
	if (w->yes || w->dry_run)
		return true;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		log_error("rollback wants a yes: vsandbox rollback --yes --last %llu %s",
			  (unsigned long long)w->last, s->id);
		return false;
	}
	fputs("Undo the last ", stderr);
	if (w->last > 1)
		fprintf(stderr, "%llu changes", (unsigned long long)w->last);
	else
		fputs("change", stderr);
	fprintf(stderr, " of session %s? [y/N] ", s->id);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* For audit: what the rollback left. */
static void keep_snapshot(const struct session *s)
{
	char name[SNAPSHOT_NAME_SIZE];
	struct err err;
	if (session_number(s, "attached_pid"))
		return;
	int r = s->state == SESSION_RUNNING
			? snapshots_take_running(s, NULL, "rollback", name, &err)
			: snapshots_take(s, NULL, "rollback", name, &err);
	if (r < 0)
		log_warn("no snapshot was taken: %s", err.text);
	else if (r == 0)
		log_detail("snapshot %s", name);
}

int rollback_session(const struct session *s, const struct rollback_wish *w)
{
	const struct rollback_request request = { .last = w->last, .dry_run = w->dry_run };
	struct undo_result result = { 0 };
	struct err err;
	if (s->state != SESSION_RUNNING && !changes_kept(s)) {
		log_error("session %s holds no changes: committed (then vsandbox undo takes them "
			  "back), discarded, or never any",
			  s->id);
		return EXIT_USAGE;
	}
	if (!confirmed(w, s))
		return EXIT_USAGE;
	int r = s->state == SESSION_RUNNING ? rollback_running(s, &request, &result, &err)
					    : run_ended(s, &request, &result, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	print_result(w, s, &result);
	if (!request.dry_run && result.outcomes[UNDO_RESTORED] && !w->no_snapshot)
		keep_snapshot(s);
	int code = out_finish();
	return code ? code : rollback_left(&result) ? EXIT_CONFLICT : 0;
}
