/*
 * The monitor of processes that ran already. No box is around them: it stays in the namespaces it was started
 * in, which are theirs too (attachable.h), makes calls for them with their own ids and capabilities, and
 * lets nothing be continued that rests on memory: execve is verified as ever, the network calls are
 * made on duplicates of their sockets.
 *
 * All that can fail is done before the first of them is touched: log, receiver, room. The first worker
 * waits for the leadership, which this thread holds until the listeners are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/attached.h"
#include "sandbox/filter.h"
#include "sandbox/inventory.h"
#include "sandbox/nudge.h"
#include "sandbox/requests.h"
#include "sandbox/rollback.h"
#include "sandbox/sampler.h"

enum {
	LOOK_MS = 500, /* how often new members are looked for */
	KILL_MS = 2000,
	SLOW_MS = 20, /* after a kill: until the last has gone */
};

/* Who is watched, and how long it stood still; what it had open before. */
static void report(struct attached_watch *w)
{
	const struct attachment *a = &w->attachment;
	enum inventory_flags flags =
		w->plan->attach->flags & ATTACH_CUT_CONNECTIONS ? INVENTORY_CUT : INVENTORY_LIST;
	struct inventory sum = { 0 };
	watch_notice(w->watch, "attached to %u processes, %u threads; they stood still for %.2f ms",
		     a->count, a->threads, (double)a->stopped_ns / 1e6);
	for (unsigned i = 0; i < a->count; i++)
		inventory_take(w->watch, a->processes[i].pid, flags, &sum);
	watch_notice(w->watch,
		     "open before, and no longer asked about: %u files for writing, %u writable "
		     "mappings, %u connections (%u cut), %u other sockets; the policy would refuse "
		     "%u of them",
		     sum.files, sum.mappings, sum.connections, sum.cut, sum.sockets, sum.denied);
}

static void kill_all(struct attached_watch *w)
{
	w->killed = true;
	__atomic_store_n(&w->watch->ending, true, __ATOMIC_RELAXED);
	hold_over(&w->watch->hold);
	tree_kill(&w->tree, 0);
	freeze_bury(&w->watch->freeze); /* who was frozen can be waited for by us alone */
	unsigned left = tree_kill(&w->tree, KILL_MS);
	if (left)
		watch_notice(w->watch, "%u processes do not end; each is killed at its next call",
			     left);
}

static void heed_nudges(struct attached_watch *w)
{
	switch (nudge_take(w->watch->nudge_fd)) {
	case NUDGE_NONE:
		break;
	case NUDGE_PAUSE:
		requests_pause_now(w->watch);
		break;
	case NUDGE_END:
		monitor_tell(w->plan, MONITOR_ENDING, 0, "");
		kill_all(w);
		break;
	}
}

/* One packet. false: the gateway is gone. */
static bool on_message(struct attached_watch *w)
{
	heed_nudges(w);         /* older than what comes through the gateway, and not to undo it */
	static struct packet m; /* large, and of this thread alone */
	int r = packet_receive(w->plan->gateway_fd, &m);
	if (r < 0)
		return r == -EAGAIN || r == -EPROTO;
	if (r == 0)
		return false;
	if (m.type == MONITOR_KILL)
		kill_all(w);
	if (m.type == MONITOR_SIGNALLED)
		hold_signalled(w->watch);
	if (m.type == MONITOR_REQUEST)
		requests_serve(w->watch, &m);
	return true;
}

void attached_supervise(struct attached_watch *w, bool gateway)
{
	bool container = w->plan->attach->container != NULL;
	struct sampler sampler;
	sampler_init(&sampler, w->plan->box->policy, &w->tree);
	for (;;) {
		struct pollfd p[] = { { .fd = w->watch->ended_fd, .events = POLLIN },
				      { .fd = gateway ? w->plan->gateway_fd : -1,
					.events = POLLIN },
				      { .fd = w->watch->undo_fd, .events = POLLIN },
				      { .fd = w->watch->hold.wake_fd, .events = POLLIN },
				      { .fd = w->channel_fd, .events = POLLIN },
				      { .fd = w->watch->nudge_fd, .events = POLLIN } };
		bool leaving = freeze_tend(&w->watch->freeze);
		int held = hold_interval_ms(&w->watch->hold);
		int timeout = w->killed ? SLOW_MS : LOOK_MS;
		if (held >= 0 && held < timeout)
			timeout = held;
		int ready = poll(p, sizeof(p) / sizeof(p[0]), leaving ? 1 : timeout);
		hold_tick(w->watch);
		if (ready > 0 && p[0].revents)
			break;
		if (ready > 0 && p[4].revents && !w->on_channel(w))
			break;
		if (ready > 0 && p[5].revents)
			heed_nudges(w);
		if (ready > 0 && p[1].revents && !on_message(w)) {
			gateway = false;
			if (container)
				break;
			kill_all(w); /* nobody is left to answer to */
		}
		if (ready > 0 && p[2].revents)
			rollback_on_verdict(w->watch);
		tree_refresh(&w->tree);
		if (w->killed)
			tree_kill(&w->tree, 0);
		else if (!__atomic_load_n(&w->watch->detached, __ATOMIC_RELAXED))
			sampler_take(&sampler, w->watch);
	}
}

int attached_prepare(struct attached_watch *w, int proc_fd, struct err *err)
{
	const struct monitor_plan *plan = w->plan;
	if (chdir("/") < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, errno, "monitor: cannot hide its memory");
	int r = watch_prepare(plan, proc_fd, w->watch, err);
	const struct journal_options options = {
		.bytes = plan->box->policy->journal_bytes,
		.sync = plan->box->policy->journal == POLICY_JOURNAL_SYNC,
	};
	if (r == 0)
		r = capture_open_real(proc_fd, plan->box->session_dirfd, &options,
				      &w->watch->capture, err);
	if (r == 0 &&
	    freeze_init_tree(&w->watch->freeze, proc_fd, &w->tree, worker_in_hand, w->watch) < 0)
		r = err_set(err, ENOMEM, "monitor: out of memory");
	if (r < 0)
		return r;
	w->watch->env.creds_vary = geteuid() == 0; /* theirs are not ours */
	w->watch->ended_fd = eventfd(0, EFD_CLOEXEC);
	if (w->watch->ended_fd < 0)
		return err_sys(err, errno, "monitor: cannot make a descriptor");
	r = eventlog_writer_open(plan->box->session_dirfd, plan->ring_wake_fd, &w->watch->log, err);
	pthread_mutex_lock(&w->watch->leader);
	if (r == 0 && worker_start(w->watch) < 0)
		r = err_set(err, EAGAIN, "monitor: no thread");
	return r;
}

/* The part that can fail, before any process is touched. */
static int prepare(struct attached_watch *w, struct err *err)
{
	int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return err_sys(err, errno, "monitor: cannot open /proc");
	tree_init(&w->tree, proc_fd);
	monitor_settle();
	return attached_prepare(w, proc_fd, err);
}

/*
 * Filtered in part, and no way back: those that were go on as before, through a process of their own that
 * lets everything through. True in that process.
 */
static bool stay_behind(struct attached_watch *w)
{
	if (fork() != 0)
		return false;
	setsid();
	w->watch->detached = true;
	w->watch->workers = w->watch->followers = 0; /* threads are not forked */
	if (worker_start(w->watch) < 0)
		abort();
	return true;
}

int monitor_attach_main(const struct monitor_plan *plan)
{
	struct err err = { 0 };
	struct watch *watch = calloc(1, sizeof(*watch));
	struct attached_watch w = { .plan = plan, .watch = watch, .channel_fd = -1 };
	if (!watch)
		return 1;
	int r = prepare(&w, &err);
	if (r == 0)
		r = attach_tree(plan->attach->pid, plan->attach->skip, filter_of(plan->box),
				&w.attachment, &err);
	if (r < 0)
		monitor_tell(plan, MONITOR_FAILED, -r, err.text);
	if (r < 0 && w.attachment.count == 0)
		return 1;
	bool partly = r < 0;
	if (partly && !stay_behind(&w))
		return 1;
	for (unsigned i = 0; i < w.attachment.count; i++) {
		if (listeners_add(&watch->listeners, w.attachment.processes[i].listener_fd) < 0)
			abort(); /* out of memory: their calls now fail, they are not let through */
		tree_add(&w.tree, w.attachment.processes[i].pid);
	}
	if (r == 0) {
		report(&w);
		monitor_tell(plan, MONITOR_STARTED, plan->attach->pid, "box");
	}
	pthread_mutex_unlock(&watch->leader);
	attached_supervise(&w, !partly);
	if (partly)
		return 0;
	monitor_tell(plan, MONITOR_EXIT, 0, "");
	if (plan->agents_dirfd >= 0)
		history_save(plan->history, plan->agents_dirfd, plan->agent, &err);
	return 0;
}
