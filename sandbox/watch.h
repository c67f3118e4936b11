/*
 * What the parts of the monitor share. Private to sandbox/.
 *
 * Theory of operation: leader and followers. All workers are alike; the one that holds `leader`
 * receives, decides and acts, and everything in struct watch is its alone. A
 * worker that must wait (an exec to be verified, a FIFO without a peer) gives the
 * leadership away first, waits with what it has copied, and comes back as a
 * follower. So nothing is handed between threads, and one thread at a time sleeps in the
 * receive call, which this kernel serves 3-9 times faster than two.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/eventlog.h"
#include "base/syscalls.h"
#include "rootfs/origin.h"
#include "sandbox/borrowed.h"
#include "sandbox/capture.h"
#include "sandbox/created.h"
#include "sandbox/creds.h"
#include "sandbox/freeze.h"
#include "sandbox/hold.h"
#include "sandbox/listener.h"
#include "sandbox/monitor.h"
#include "sandbox/orders.h"
#include "sandbox/place.h"
#include "sandbox/placement.h"
#include "sandbox/tracee.h"
#include "scoring/judge.h"

enum { WATCH_WORKERS_MAX = 256 };

struct worker;

struct watch {
	const struct monitor_plan *plan;
	const struct policy *policy;
	struct orders orders; /* under log_lock */
	struct listeners listeners;
	struct placement placement;
	struct slate *slate; /* a container's; NULL none */
	struct place_env env;
	uint64_t mount_inside; /* found to be the sandbox's own last; 0 none */
	struct tracees *tracees;
	struct dirs dirs; /* env's */
	struct created created;
	struct origins origins;
	struct eventlog_writer log;
	struct capture *capture; /* owned */
	struct history *history;
	struct network *network; /* NULL: nothing outside can be reached */
	enum agent_state state;
	uint64_t ambient_count;
	bool detached;    /* let everything through, look at nothing; set by another thread */
	bool ending;      /* whoever still calls is killed; set by another thread */
	int ended_fd;     /* eventfd, written when the listeners have hung up; -1 none */
	bool creds_fixed; /* one id, no capabilities: nobody ever can */
	int16_t utc_offset_min;
	int undo_fd;  /* eventfd: a verdict asks the supervising thread for a rollback; owned */
	int nudge_fd; /* orders of verbs, sandbox/nudge.h; owned */
	int terminal_fd; /* who opens /dev/tty, sandbox/terminal.h; -1 in its session, or without one; owned */
	bool undo_due; /* it has not frozen everything yet: no further call is begun; atomic */

	struct freeze freeze; /* its gate is held while a worker acts for the agent */
	struct hold hold;
	struct borrowed tty;
	pthread_t
		leading; /* atomic: the thread that leads, and whether it sleeps in the receive call */
	bool receiving;
	struct worker *crew[WATCH_WORKERS_MAX]; /* all workers; grown under `leader` */
	pthread_mutex_t leader;
	pthread_mutex_t
		log_lock;   /* history and log: held from a verdict to its event's publication */
	unsigned followers; /* waiting for `leader`; written under it or atomically */
	unsigned workers;
	bool closing;                    /* the listener has hung up */
	pid_t execed[WATCH_WORKERS_MAX]; /* under log_lock; 0 free */
	unsigned execed_count;           /* atomic */
};

/* One worker's room: a notification and everything copied for it. */
struct worker {
	struct watch *watch;
	union notification n;
	struct listener *listener; /* it came from */
	const struct syscall_row *row;
	struct tracee *task; /* in the cache while leading, &held afterwards */
	struct tracee held;  /* a copy with a handle of its own */
	bool leading;
	pid_t serving; /* whose call it has received and not answered; atomic, 0 none */
	struct place place[2];
	char path[2][ACTION_PATH_SIZE];
	char argv[ACTION_ARGV_SIZE];
	char text[ACTION_PATH_SIZE]; /* cwd of an exec, address of a connect */
	struct action action;
	struct event event;      /* with the decision */
	char order[ORDERS_NAME]; /* its rule, when that is the control plane's */
	unsigned char *record;   /* begun in the log, not published; NULL none */
	int umask;               /* this thread's, -1 unknown */
	struct hold_pass pass;   /* what a person has allowed this call */
};

/* What watch_decide says of a call that now waits for a person; worker_answer does nothing then. */
enum { WATCH_HELD = -100000 };

/*
 * Decides on w->action (who and when are filled in here). Returns 0 when it may
 * be carried out: its event is begun, and watch_done must follow. Else the
 * negative errno to answer; its event is published. Or WATCH_HELD: leave off; the call
 * will be carried again from its beginning when it has been allowed.
 */
int watch_decide(struct worker *w);

/*
 * Decides on something that goes with w->action (an interpreter, the file a rename removes): 0 when
 * it is not denied, which leaves no trace; else as watch_decide, with @also as the event.
 */
int watch_decide_also(struct worker *w, const struct action *also);

/* Would w->action be let through? Leaves no trace. */
bool watch_allows(struct worker *w);
/* Would @a, which was let through some time ago, be let through now? Leaves no trace. */
bool watch_allows_still(struct watch *watch, const struct action *a);

/*
 * Decides on something that no system call shows: a name, a statement. Complete but for the time;
 * its event is published. 0, or -errno; @why (NULL: not wanted) gets the rule that refused.
 */
int watch_decide_seen(struct watch *watch, struct action *a, char *why, size_t size);

/* How many more like @a, which was just allowed, need not be asked about: scoring/standing.h. */
unsigned watch_standing(struct watch *watch, const struct action *a, unsigned outstanding);
/* @count of them passed: in the history each, in the log one event. */
void watch_repeated(struct watch *watch, struct action *a, uint32_t count);

/* What was let through as @a is over. @error positive, 0 in order. */
void watch_connection_end(struct watch *watch, const struct action *a, int error,
			  uint64_t bytes_out, uint64_t bytes_in);

/* The action of watch_decide was carried out with this result (0 or positive, -errno,
 * EVENT_RESULT_PENDING): publishes its event. Nothing for ambient actions. */
void watch_done(struct worker *w, int64_t result);

/* An event of the monitor's making, as it is; time and number are set. */
void watch_publish(struct watch *watch, struct event *e);

/* What monitor.c shares with monitor_attach.c. A watch without listeners and workers; @proc_fd: of the outer /proc, borrowed. */
int watch_prepare(const struct monitor_plan *plan, int proc_fd, struct watch *watch,
		  struct err *err);
/* To the gateway; nothing when it is gone. */
void monitor_tell(const struct monitor_plan *plan, enum packet_type type, int value,
		  const char *text);
/* Limits, streams, priority and signals of a monitor, for the rest of its life. */
void monitor_settle(void);

/* A notice in the log that a person should see. */
void watch_notice(struct watch *watch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The threshold @name (of CPU, memory, processes) was passed, as @text says: an event, and what the
 * policy's mode answers. By the thread that supervises.
 */
void watch_threshold(struct watch *watch, const char *name, const char *text);

/*
 * Directories are elsewhere or gone: what was remembered of their paths is forgotten. By the leader, before
 * it moves or removes what may be one; by a thread that has changed any of them while nothing ran.
 */
void watch_forget_dir(struct watch *watch, const struct place *p);
void watch_forget_dirs(struct watch *watch);

/* The places of the action are about to be changed: what the host has there is noted for commit. */
void watch_touch(struct worker *w);

/* Who made the object: this session, the system, or somebody before. */
enum provenance watch_provenance(const struct watch *watch, const struct place *p);

/* worker.c */
/* One more, who follows: waits for the leadership if the caller holds it. 0, -errno. */
int worker_start(struct watch *watch);
/* freeze_spare_fn: the callers of calls that were received and not answered. */
void worker_in_hand(void *watch, void (*spare)(void *to, pid_t tid), void *to);
/*
 * Gives leadership to another worker (starting one if none waits), to wait for something.
 * What follows may use @w, the listener and the log, not the rest of struct watch: the
 * leader sleeps holding it all. The worker follows again when its notification is answered.
 */
void worker_step_down(struct worker *w);
/*
 * Is there another to lead, or can there be? To be asked before a wait that only another call of the tree ends: with nobody
 * to receive that one it would be for ever.
 */
bool worker_may_wait(const struct worker *w);
/* An exec of this process was verified: the leader is to look its threads up anew. */
void worker_execed(struct watch *watch, pid_t tgid);

/* Answer with a value or -errno; a caller that died meanwhile is no error. */
void worker_answer(struct worker *w, int64_t value);
/* As listener_inject, also by a worker that has stepped down. */
int worker_inject(struct worker *w, int fd, enum inject_flags flags);
/* Sets this thread's umask to the caller's. 0, -errno. */
int worker_umask(struct worker *w);
/* Copies the path argument @arg into w->path[@which]. 0, -errno. */
int worker_path(struct worker *w, unsigned arg, unsigned which);
/* Argument @arg as an int: the kernel looks at 32 bits only. */
static inline int worker_int(const struct worker *w, unsigned arg)
{
	return (int)(uint32_t)w->n.notif.data.args[arg];
}

/* The carriers: one for each `how` that is notified. Each answers the notification. */
void carry_emulate(struct worker *w); /* emulate.c */
void carry_open(struct worker *w);    /* open.c */
void carry_exec(struct worker *w);    /* exec.c */
void carry_connect(struct worker *w); /* connect.c */
void carry_send(struct worker *w);    /* connect.c */
