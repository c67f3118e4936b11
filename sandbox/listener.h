/* The seccomp listener: seccomp_unotify(2), linux/seccomp.h. */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct slate;

struct listener {
	int fd;                         /* owned by the box, or by struct listeners */
	uint16_t notif_size, resp_size; /* what this kernel wants; our buffers are at least that */
	/*
	 * A container's: the process of the runtime that still prepares it, whose calls until its execve are the
	 * runtime's own. LISTENER_FIRST_CALLER: not known yet, it will be the first to call; 0 none.
	 */
	pid_t runtime;
	struct slate *slate; /* where received calls are put down; borrowed, NULL nowhere */
	uint32_t number;     /* its name there */
	uint64_t gone_ms;    /* monotonic: when it hung up; 0 it has not; atomic */
};

enum { LISTENER_FIRST_CALLER = -1 };

enum { LISTENER_BUFFER = 512 };

/* One received notification with the room a newer kernel may ask for. */
union notification {
	struct seccomp_notif notif;
	unsigned char room[LISTENER_BUFFER];
};

/* Is the call still waiting? Guards everything that was read by pid number. */
int listener_valid(const struct listener *l, uint64_t id);

/* The call returns @value (>= 0), or fails with -@value. -ENOENT: nobody waits any more. */
int listener_answer(const struct listener *l, uint64_t id, int64_t value);

/* The kernel runs the call. Only for verdicts that rest on registers or on the box. */
int listener_continue(const struct listener *l, uint64_t id);

enum inject_flags { INJECT_NONE = 0, INJECT_CLOEXEC = 1 };

/* Puts @fd into the caller's table and answers with its number there, in one step. */
int listener_inject(const struct listener *l, uint64_t id, int fd, enum inject_flags flags);

/*
 * Puts @fd into the caller's table; its number there, and the call goes on waiting for its answer. For callers
 * that only death can take out of that wait (WAIT_KILLABLE_RECV): else a descriptor nobody asked for is left.
 */
int listener_put(const struct listener *l, uint64_t id, int fd, enum inject_flags flags);

/* Puts @fd over number @number of the caller's table; the call goes on waiting. */
int listener_place(const struct listener *l, uint64_t id, int fd, int number,
		   enum inject_flags flags);

/*
 * All listeners of one monitor: the box's one, or one for each process attached to. One thread
 * receives; what it received is answered through the listener it came from.
 */
struct listeners {
	struct listener **all; /* owned, as are those that were added by number */
	unsigned count;
	unsigned left; /* not yet hung up; atomic */
	/*
	 * More may be added, by one thread, while another receives. They are owned then, and one that has hung
	 * up makes room for another when nobody can hold a call of it any more.
	 */
	bool growing;
	int epoll_fd;          /* owned */
	struct listener sizes; /* what each new one starts from */
};

/*
 * Asks the kernel for its structure sizes. -EOPNOTSUPP: too new or too old. Before any task depends
 * on it: listeners_add fails only where memory is out.
 */
int listeners_init(struct listeners *l);
/*
 * With synchronous wake-ups (6.6; without them a reply wakes the task on another CPU).
 * @fd stays the caller's and must stay open: a descriptor closed under a waiting
 * worker becomes another's.
 */
int listeners_add(struct listeners *l, int fd);
/* The same, with what else is known of it: @how's runtime, slate and number. */
int listeners_add_as(struct listeners *l, int fd, const struct listener *how);
/*
 * Blocks. 0; -ENOENT: the caller died meanwhile; -EINTR; -EPIPE: no task is left behind any of them; else they are of
 * no more use.
 */
int listeners_receive(struct listeners *l, union notification *ret, struct listener **ret_from);
