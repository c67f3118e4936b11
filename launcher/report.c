#include "launcher/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/scope.h"
#include "launcher/digest.h"
#include "launcher/log.h"
#include "launcher/term.h"

void report_init(struct report *r, const struct run *run, const struct session *session)
{
	r->run = run;
	r->session = session;
	r->tokens = REPORT_BURST;
	r->refilled_ns = clock_ns(CLOCK_MONOTONIC);
}

/* One line for programs: to --status-fd, and with --json to stderr as well. */
static void status_line(const struct report *r, const char *line, size_t len, bool to_status_fd)
{
	/* The reader may be gone or slow; the run matters more than its report. */
	ssize_t n = 0;
	if (to_status_fd && r->run->status_fd >= 0)
		n = write(r->run->status_fd, line, len);
	if (r->run->json)
		n = write(STDERR_FILENO, line, len);
	(void)n;
}

static const char *list_or(const char *list, const char *none)
{
	return list && *list ? list : none;
}

static void monitors_text(const struct policy *p, struct buf *b)
{
	const struct {
		const char *name;
		bool on;
	} monitors[] = {
		{ "files", p->monitors.file_system },
		{ "network", p->monitors.network },
		{ "processes", p->monitors.processes },
		{ "database", p->monitors.database },
		{ "cpu", p->monitors.cpu },
		{ "memory", p->monitors.memory },
	};
	for (size_t i = 0; i < sizeof(monitors) / sizeof(monitors[0]); i++)
		if (monitors[i].on)
			buf_printf(b, "%s%s", b->len ? " " : "", monitors[i].name);
	if (!b->len)
		buf_puts(b, "none");
}

static void banner(const struct report *r, const char *degraded)
{
	const struct run *run = r->run;
	char monitors[128];
	struct buf b;
	buf_init(&b, monitors, sizeof(monitors));
	monitors_text(run->policy, &b);
	static const char *const workspace[WORKSPACE_COUNT] = {
		[WORKSPACE_OVERLAY] = "overlay",
		[WORKSPACE_DIRECT] = "direct: writes to the workspace are real",
		[WORKSPACE_READ_ONLY] = "read-only",
	};
	log_info("agent %s, session %s, policy %s, mode %s, workspace %s, net %s, monitors %s%s%s",
		 run->agent, r->session->id, run->policy->name, policy_mode_name(run->policy->mode),
		 workspace[run->policy->workspace], policy_net_name(run->net), monitors,
		 degraded && *degraded ? ", DEGRADED: without " : "", list_or(degraded, ""));
	if (run->policy->mode == MODE_OBSERVE)
		log_warn("mode observe: what the policy denies is let through and logged as an "
			 "alert");
}

void report_started(struct report *r, pid_t agent_pid, const char *degraded)
{
	const struct run *run = r->run;
	cleanup_free char *line = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&line, &len);
	if (f) {
		fputs("{\"schema_version\":1,\"event\":\"started\"", f);
		json_member(f, false, "session", r->session->id);
		json_member(f, false, "agent", run->agent);
		json_member(f, false, "policy", run->policy->name);
		json_member(f, false, "mode", policy_mode_name(run->policy->mode));
		json_member(f, false, "net", policy_net_name(run->net));
		json_member(f, false, "degraded", list_or(degraded, ""));
		fprintf(f, ",\"pid\":%d}\n", agent_pid);
		if (fclose(f) == 0)
			status_line(r, line, len, true);
	}
	if (run->container && !run->json)
		log_info("session %s decides on container %s, pid %d, policy %s, mode %s",
			 r->session->id, run->container, agent_pid, run->policy->name,
			 policy_mode_name(run->policy->mode));
	else if (run->attach && !run->json)
		log_info("session %s supervises pid %d and what descends from it, policy %s, mode "
			 "%s; "
			 "there is no box around it: what is allowed is done to the real files",
			 r->session->id, agent_pid, run->policy->name,
			 policy_mode_name(run->policy->mode));
	else if (!run->json && (log_get_level() == LOG_VERBOSE || isatty(STDERR_FILENO)))
		banner(r, degraded);
	else if (!run->json && degraded && *degraded)
		log_warn("degraded: this run is without %s", degraded);
}

static bool take_token(struct report *r)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t refill = (now - r->refilled_ns) / (1000000000u / REPORT_PER_SECOND);
	if (refill) {
		r->tokens = r->tokens + refill > REPORT_BURST ? REPORT_BURST
							      : r->tokens + (unsigned)refill;
		r->refilled_ns = now;
	}
	if (!r->tokens)
		return false;
	r->tokens--;
	return true;
}

static void show_suppressed(struct report *r)
{
	if (r->suppressed && !r->run->json)
		log_warn("… %llu more denials; all are in: vsandbox logs --decision block %s",
			 (unsigned long long)r->suppressed, r->session->id);
	r->suppressed = 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void denial(struct report *r, const struct event *e)
{
	const struct decision *d = &e->decision;
	char text[6000];
	struct buf b;
	if (r->run->json) {
		cleanup_free char *line = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&line, &len);
		if (!f)
			return;
		fprintf(f, "{\"schema_version\":1,\"event\":\"denied\",\"seq\":%llu",
			(unsigned long long)e->seq);
		json_member(f, false, "type", action_type_name(e->action.type));
		json_member(f, false, "resource", e->action.resource);
		json_member(f, false, "reason", reason_name(d->reason));
		json_member(f, false, "rule", d->rule);
		json_member(f, false, "file", d->file);
		fprintf(f, ",\"line\":%u,\"score\":%.2f}\n", d->line, (double)d->score.total);
		if (fclose(f) == 0)
			status_line(r, line, len, false);
		return;
	}
	if (log_get_level() == LOG_QUIET)
		return;
	if (!take_token(r)) {
		r->suppressed++;
		return;
	}
	show_suppressed(r);
	buf_init(&b, text, sizeof(text));
	buf_printf(&b, "denied %s ", action_type_name(e->action.type));
	term_path(&b, e->action.resource);
	buf_puts(&b, d->rule ? " (rule " : " (");
	if (d->rule)
		term_path(&b, d->rule);
	else
		buf_puts(&b, reason_name(d->reason));
	if (d->file) {
		buf_puts(&b, ", ");
		buf_term(&b, base_name(d->file), strlen(base_name(d->file)));
		if (d->line)
			buf_printf(&b, ":%u", d->line);
	}
	buf_printf(&b, ", score %.2f) — vsandbox why --event %llu", (double)d->score.total,
		   (unsigned long long)e->seq);
	log_warn("%s", text);
}

static bool changes_files(const struct action *a)
{
	return (a->type == ACTION_FILE_WRITE || a->type == ACTION_FILE_DELETE);
}

void report_event(const struct event *e, void *report)
{
	struct report *r = report;
	r->events++;
	if (e->ambient_count > r->ambient)
		r->ambient = e->ambient_count;
	bool waits = e->decision.verdict == VERDICT_PAUSE && e->result == EVENT_RESULT_PENDING;
	if (e->kind == EVENT_SAMPLE && !waits)
		r->by_verdict[e->decision.verdict]++;
	/* of a threshold that was answered a notice tells */
	bool tells = e->kind == EVENT_NOTICE ||
		     (e->kind == EVENT_SAMPLE && e->result == EVENT_RESULT_PENDING);
	if (tells && e->text && !r->run->json) {
		char text[1024];
		struct buf b;
		buf_init(&b, text, sizeof(text));
		buf_term(&b, e->text, strlen(e->text));
		log_warn("%s", text);
	}
	effects_note(&r->effects, e);
	if (e->kind != EVENT_ACTION)
		return;
	if (waits)
		return; /* held: what becomes of it is told when it has become so */
	r->by_verdict[e->decision.verdict]++;
	r->by_type[e->action.type]++;
	if (e->decision.verdict >= VERDICT_PAUSE) { /* held, and refused in the end */
		r->denied_by_type[e->action.type]++;
		denial(r, e);
		return;
	}
	if (changes_files(&e->action))
		r->changed = true;
	if (e->action.type == ACTION_NETWORK_REQUEST || e->action.type == ACTION_API_CALL ||
	    e->action.type == ACTION_DATABASE_WRITE)
		r->outside++;
}

static uint64_t sum(const uint64_t *counts, int from, int to)
{
	uint64_t total = 0;
	for (int i = from; i < to; i++)
		total += counts[i];
	return total;
}

static void write_counts(FILE *f, const struct report *r)
{
	fputs("\"decisions\":{", f);
	for (int v = 0; v < VERDICT_COUNT; v++)
		fprintf(f, "%s\"%s\":%llu", v ? "," : "", verdict_name((enum verdict)v),
			(unsigned long long)r->by_verdict[v]);
	fputs("},\"types\":{", f);
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++)
		fprintf(f, "%s\"%s\":%llu", t > 1 ? "," : "", action_type_name((enum action_type)t),
			(unsigned long long)r->by_type[t]);
	fprintf(f, "},\"events\":%llu,\"ambient\":%llu,\"external\":%llu",
		(unsigned long long)r->events, (unsigned long long)r->ambient,
		(unsigned long long)r->outside);
	fputs(",\"external_effects\":", f);
	effects_json(f, &r->effects);
}

static void write_status(FILE *f, int exit_code, int wait_status, const char *reason)
{
	fprintf(f, "\"exit_code\":%d,\"status\":%d", exit_code, wait_status);
	json_member(f, false, "reason", reason);
	if (WIFSIGNALED(wait_status))
		fprintf(f, ",\"signal\":%d", WTERMSIG(wait_status));
}

int report_save(const struct report *r, int exit_code, int wait_status, const char *reason,
		struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	fprintf(f, "{\"schema_version\":%d,\"ended_ns\":%llu,", SESSION_SCHEMA_VERSION,
		(unsigned long long)clock_ns(CLOCK_REALTIME));
	write_status(f, exit_code, wait_status, reason);
	fputc(',', f);
	write_counts(f, r);
	fputs("}\n", f);
	if (fclose(f) != 0)
		return err_set(err, ENOMEM, "out of memory");
	return state_write_file(r->session->dirfd, "end.json", text, len, err);
}

void report_ended(struct report *r, int exit_code, int wait_status, const char *reason)
{
	const struct run *run = r->run;
	struct digest d = { 0 };
	uint64_t denied = sum(r->by_verdict, VERDICT_PAUSE, VERDICT_COUNT);
	bool wants_text = !run->json && log_get_level() > LOG_QUIET;
	show_suppressed(r);
	/* With the file monitor off nothing was counted: only the layers know. */
	if ((r->changed || !run->policy->monitors.file_system) &&
	    (wants_text || run->json || run->status_fd >= 0))
		digest_collect(r->session->dirfd, &d);
	cleanup_free char *line = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&line, &len);
	if (f) {
		fputs("{\"schema_version\":1,\"event\":\"exit\"", f);
		json_member(f, false, "session", r->session->id);
		fputc(',', f);
		write_status(f, exit_code, wait_status, reason);
		fputc(',', f);
		write_counts(f, r);
		fprintf(f, ",\"changes\":{\"added\":%llu,\"modified\":%llu,\"deleted\":%llu}}\n",
			(unsigned long long)d.count[CHANGE_ADDED],
			(unsigned long long)d.count[CHANGE_MODIFIED],
			(unsigned long long)d.count[CHANGE_DELETED]);
		if (fclose(f) == 0)
			status_line(r, line, len, true);
	}
	uint64_t changes = sum(d.count, 0, CHANGE_KIND_COUNT);
	if (wants_text && (denied || changes || r->effects.count)) {
		unsigned long long actions = sum(r->by_verdict, 0, VERDICT_COUNT);
		log_info("%llu action%s: %llu allowed, %llu alerted, %llu denied; changes: %llu "
			 "added, "
			 "%llu modified, %llu deleted",
			 actions, actions == 1 ? "" : "s",
			 (unsigned long long)r->by_verdict[VERDICT_ALLOW],
			 (unsigned long long)r->by_verdict[VERDICT_ALERT],
			 (unsigned long long)denied, (unsigned long long)d.count[CHANGE_ADDED],
			 (unsigned long long)d.count[CHANGE_MODIFIED],
			 (unsigned long long)d.count[CHANGE_DELETED]);
		digest_print(&d, STDERR_FILENO);
		if (r->outside)
			log_info("%llu action%s reached outside this machine's files and cannot be "
				 "undone",
				 (unsigned long long)r->outside, r->outside == 1 ? "" : "s");
		effects_list(&r->effects, STDERR_FILENO);
		if (run->policy->on_exit == ON_EXIT_DISCARD && changes)
			log_info("the changes are discarded, as asked");
		else if (changes && run->policy->on_exit == ON_EXIT_KEEP)
			log_info("next: vsandbox diff %s, then vsandbox commit or discard",
				 r->session->id);
	}
	digest_finish(&d);
	effects_finish(&r->effects);
}
