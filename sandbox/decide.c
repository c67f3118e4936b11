/* From an action to an answer: who and when, the verdict, the event before the answer. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/watch.h"
#include "scoring/standing.h"

static void identify(struct worker *w)
{
	struct action *a = &w->action;
	const struct tracee *t = w->task;
	a->pid = t->ns_tgid;
	a->tid = t->ns_tid;
	a->start_ticks = t->start_ticks;
	a->program = t->program;
	memcpy(a->ancestry, t->ancestry, sizeof(a->ancestry));
	a->syscall_nr = (uint32_t)w->n.notif.data.nr;
	a->utc_offset_min = w->watch->utc_offset_min;
	event_stamp(&w->event);
	a->mono_ns = w->event.mono_ns;
	a->wall_ns = w->event.wall_ns;
}

/* The monitors a person switched off: decided as always, but neither scored nor logged. */
static bool reported(const struct policy *p, const struct action *a)
{
	switch (a->type) {
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
		return p->monitors.file_system;
	case ACTION_CODE_EXECUTION:
		return p->monitors.processes;
	case ACTION_API_CALL:
	case ACTION_NETWORK_REQUEST:
		return p->monitors.network;
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
		return p->monitors.database;
	case ACTION_NONE:
	case ACTION_TYPE_COUNT:
		break;
	}
	return true;
}

/* A verdict of rollback: nothing more is begun until everything is frozen. */
static void ask_undo(struct watch *watch)
{
	uint64_t one = 1;
	__atomic_store_n(&watch->undo_due, true, __ATOMIC_RELEASE);
	/* a full counter means that it is being asked already */
	(void)!write(watch->undo_fd, &one, sizeof(one));
}

int watch_decide(struct worker *w)
{
	struct watch *watch = w->watch;
	struct event *e = &w->event;
	struct decision *d = &e->decision;

	identify(w);
	pthread_mutex_lock(&watch->log_lock);
	orders_judge(watch, &w->action, w->order, d);
	if (d->verdict == VERDICT_PAUSE) {
		pthread_mutex_unlock(&watch->log_lock); /* taken within hold's own */
		int r = hold_call(w);
		if (r == HOLD_KEPT)
			return WATCH_HELD;
		if (r == HOLD_PASSED)
			d->verdict = VERDICT_ALLOW; /* the reason stays: why it was asked */
		pthread_mutex_lock(&watch->log_lock);
	}
	bool denied = d->verdict >= VERDICT_PAUSE;
	if (denied && d->deny_errno <= 0)
		d->deny_errno = EACCES;
	if (d->verdict == VERDICT_ROLLBACK)
		ask_undo(watch);
	if (d->ambient && !denied) {
		watch->ambient_count++;
		pthread_mutex_unlock(&watch->log_lock);
		return 0;
	}
	if (!reported(watch->policy, &w->action) && !denied) {
		pthread_mutex_unlock(&watch->log_lock);
		return 0;
	}
	history_note(watch->history, &w->action, !denied);

	e->kind = EVENT_ACTION;
	e->syscall = w->row->name;
	e->action = w->action;
	e->result = denied ? -d->deny_errno : EVENT_RESULT_PENDING;
	w->record = eventlog_begin(&watch->log, e);
	while (!w->record && eventlog_wait(&watch->log)) /* the reader is behind, not stuck */
		w->record = eventlog_begin(&watch->log, e);
	if (!w->record) {
		pthread_mutex_unlock(&watch->log_lock);
		return denied ? -d->deny_errno : -ENOSPC; /* nothing happens that is not written */
	}
	if (!denied)
		return 0;
	watch_done(w, -d->deny_errno);
	return -d->deny_errno;
}

static bool allows(struct watch *watch, const struct action *a)
{
	char order[ORDERS_NAME];
	struct decision d;
	pthread_mutex_lock(&watch->log_lock);
	orders_judge(watch, a, order, &d);
	pthread_mutex_unlock(&watch->log_lock);
	return d.verdict < VERDICT_PAUSE;
}

int watch_decide_also(struct worker *w, const struct action *also)
{
	struct action main = w->action;
	w->action = *also;
	identify(w);
	if (!allows(w->watch, &w->action)) {
		int r = watch_decide(w);
		if (r < 0)
			return r;
		watch_done(w, EVENT_RESULT_PENDING); /* a person has allowed this part of it */
	}
	w->action = main;
	return 0;
}

void watch_done(struct worker *w, int64_t result)
{
	if (!w->record)
		return;
	event_set_result(w->record, (int32_t)(result > INT32_MAX ? INT32_MAX : result));
	eventlog_publish(&w->watch->log);
	pthread_mutex_unlock(&w->watch->log_lock);
	w->record = NULL;
}

bool watch_allows(struct worker *w)
{
	identify(w);
	return allows(w->watch, &w->action);
}

bool watch_allows_still(struct watch *watch, const struct action *a)
{
	struct event e = { .kind = EVENT_ACTION };
	struct action now = *a;
	event_stamp(&e);
	now.mono_ns = e.mono_ns;
	now.wall_ns = e.wall_ns;
	now.utc_offset_min = watch->utc_offset_min;
	return allows(watch, &now);
}

int watch_decide_seen(struct watch *watch, struct action *a, char *why, size_t size)
{
	struct event e = { .kind = EVENT_ACTION, .result = EVENT_RESULT_PENDING };
	char order[ORDERS_NAME];
	event_stamp(&e);
	a->mono_ns = e.mono_ns;
	a->wall_ns = e.wall_ns;
	a->utc_offset_min = watch->utc_offset_min;
	pthread_mutex_lock(&watch->log_lock);
	orders_judge(watch, a, order, &e.decision);
	bool denied = e.decision.verdict >= VERDICT_PAUSE;
	if (denied && e.decision.deny_errno <= 0)
		e.decision.deny_errno = EPERM;
	int r = denied ? -e.decision.deny_errno : 0;
	if (denied)
		e.result = r;
	if (denied || reported(watch->policy, a)) {
		history_note(watch->history, a, !denied);
		e.action = *a;
		unsigned char *record = eventlog_begin(&watch->log, &e);
		while (!record && eventlog_wait(&watch->log))
			record = eventlog_begin(&watch->log, &e);
		if (record)
			eventlog_publish(&watch->log);
		else if (!denied)
			r = -ENOSPC; /* nothing happens that is not written */
	}
	pthread_mutex_unlock(&watch->log_lock);
	if (why)
		snprintf(why, size, "%s",
			 !denied           ? ""
			 : e.decision.rule ? e.decision.rule
					   : reason_name(e.decision.reason));
	return r;
}

unsigned watch_standing(struct watch *watch, const struct action *a, unsigned outstanding)
{
	pthread_mutex_lock(&watch->log_lock);
	unsigned count =
		standing_count(watch->policy, watch->state, watch->history, a, outstanding);
	if (count && watch->orders.policy) {
		unsigned other = standing_count(watch->orders.policy, watch->state, watch->history,
						a, outstanding);
		count = other < count ? other : count;
	}
	pthread_mutex_unlock(&watch->log_lock);
	return count;
}

void watch_repeated(struct watch *watch, struct action *a, uint32_t count)
{
	struct event e = { .kind = EVENT_ACTION, .result = EVENT_RESULT_PENDING, .repeats = count };
	char order[ORDERS_NAME];
	struct decision d;
	event_stamp(&e);
	a->mono_ns = e.mono_ns;
	a->wall_ns = e.wall_ns;
	a->utc_offset_min = watch->utc_offset_min;
	if (!reported(watch->policy, a))
		return;
	pthread_mutex_lock(&watch->log_lock);
	orders_judge(watch, a, order, &d);
	/* The score is today's; the verdict is the one under which they passed. */
	e.decision = (struct decision){ .verdict = VERDICT_ALLOW, .score = d.score };
	e.action = *a;
	for (uint32_t i = 0; i < count; i++)
		history_note(watch->history, a, true);
	unsigned char *record = eventlog_begin(&watch->log, &e);
	while (!record && eventlog_wait(&watch->log))
		record = eventlog_begin(&watch->log, &e);
	if (record)
		eventlog_publish(&watch->log);
	pthread_mutex_unlock(&watch->log_lock);
}

void watch_connection_end(struct watch *watch, const struct action *a, int error,
			  uint64_t bytes_out, uint64_t bytes_in)
{
	struct event e = { .kind = EVENT_CONNECTION_END,
			   .action = *a,
			   .result = -error,
			   .bytes_out = bytes_out,
			   .bytes_in = bytes_in };
	if (!watch->policy->monitors.network)
		return;
	event_stamp(&e);
	pthread_mutex_lock(&watch->log_lock);
	if (eventlog_begin(&watch->log, &e))
		eventlog_publish(&watch->log);
	pthread_mutex_unlock(&watch->log_lock);
}

void watch_publish(struct watch *watch, struct event *e)
{
	event_stamp(e);
	pthread_mutex_lock(&watch->log_lock);
	if (eventlog_begin(&watch->log, e))
		eventlog_publish(&watch->log);
	pthread_mutex_unlock(&watch->log_lock);
}

static struct event event_of_text(const struct watch *watch, enum event_kind kind, const char *text)
{
	return (struct event){ .kind = kind,
			       .text = text,
			       .result = EVENT_RESULT_PENDING,
			       .ambient_count = watch->ambient_count,
			       .action = { .resource = "", .program = "" } };
}

void watch_notice(struct watch *watch, const char *fmt, ...)
{
	char text[ACTION_PATH_SIZE + 256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	struct event e = event_of_text(watch, EVENT_NOTICE, text);
	watch_publish(watch, &e);
}

void watch_threshold(struct watch *watch, const char *name, const char *text)
{
	struct event e = event_of_text(watch, EVENT_SAMPLE, text);
	e.decision.verdict = judge_threshold(watch->policy);
	e.decision.reason = REASON_THRESHOLD;
	event_stamp(&e); /* for the question; the log stamps it when it is told */
	if (e.decision.verdict == VERDICT_PAUSE) {
		int r = hold_threshold(watch, name, &e);
		if (r == HOLD_KEPT) /* it is published with its question */
			return;
		e.result = r;
		if (r == HOLD_PASSED)
			e.decision.verdict = VERDICT_ALLOW; /* the reason stays: why it was asked */
	}
	watch_publish(watch, &e);
	if (e.decision.verdict == VERDICT_PAUSE)
		hold_condemn(watch, text);
	if (e.decision.verdict == VERDICT_ROLLBACK)
		ask_undo(watch);
}

void watch_touch(struct worker *w)
{
	if (!w->watch->origins
		     .overlay) /* attached: the files are the host's own, nothing is copied up */
		return;
	bool own = false;
	for (unsigned i = 0; i < 2; i++) {
		const struct place *p = &w->place[i];
		bool moved = i == 1 && !own;
		own = p->exists && created_has(&w->watch->created, &p->st);
		if (own) /* what was made inside is in the upper, and so is all above it */
			continue;
		/* the second is where a rename or link puts a file that may have been copied up */
		if (p->exists || moved)
			origins_note(&w->watch->origins, p->path, p->exists ? &p->st : NULL);
		else
			origins_note_parents(&w->watch->origins, p->path);
	}
}

void watch_forget_dir(struct watch *watch, const struct place *p)
{
	if (!p->exists || !S_ISDIR(p->st.st_mode))
		return;
	dirs_forget_below(&watch->dirs, p->path);
	origins_forget_below(&watch->origins, p->path);
}

void watch_forget_dirs(struct watch *watch)
{
	dirs_forget(&watch->dirs);
	origins_forget(&watch->origins);
}

/* bind(2) is the one call that makes a name without the monitor. */
static bool is_bound_here(const struct watch *watch, const struct place *p)
{
	return S_ISSOCK(p->st.st_mode) && watch->capture && capture_is_new(watch->capture, p);
}

enum provenance watch_provenance(const struct watch *watch, const struct place *p)
{
	static const char *const system_dirs[] = { "/usr/",  "/lib",  "/bin/",  "/sbin/", "/etc/",
						   "/boot/", "/opt/", "/proc/", "/sys/",  "/dev/" };
	if (!p->exists || created_has(&watch->created, &p->st) || is_bound_here(watch, p))
		return PROVENANCE_CREATED;
	for (size_t i = 0; i < sizeof(system_dirs) / sizeof(*system_dirs); i++)
		if (strncmp(p->path, system_dirs[i], strlen(system_dirs[i])) == 0)
			return PROVENANCE_SYSTEM;
	return PROVENANCE_EXISTING;
}
