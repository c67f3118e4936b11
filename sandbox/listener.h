/* The seccomp listener: seccomp_unotify(2), linux/seccomp.h. */
#pragma once

#include <linux/seccomp.h>
#include <stdint.h>

struct listener {
	int fd;                         /* owned by the box */
	uint16_t notif_size, resp_size; /* what this kernel wants; our buffers are at least that */
};

enum { LISTENER_BUFFER = 512 };

/* One received notification with the room a newer kernel may ask for. */
union notification {
	struct seccomp_notif notif;
	unsigned char room[LISTENER_BUFFER];
};

/*
 * Asks the kernel for its structure sizes and for synchronous wake-ups (6.6; without
 * them a reply wakes the task on another CPU). -EOPNOTSUPP: kernel too new or too old.
 */
int listener_init(struct listener *l, int fd);

/* Blocks. 0; -ENOENT: the caller died meanwhile; -EINTR; else the listener is of no more use. */
int listener_receive(const struct listener *l, union notification *ret);

/* Is the call still waiting? Guards everything that was read by pid number. */
int listener_valid(const struct listener *l, uint64_t id);

/* The call returns @value (>= 0), or fails with -@value. -ENOENT: nobody waits any more. */
int listener_answer(const struct listener *l, uint64_t id, int64_t value);

/* The kernel runs the call. Only for verdicts that rest on registers or on the box. */
int listener_continue(const struct listener *l, uint64_t id);

enum inject_flags { INJECT_NONE = 0, INJECT_CLOEXEC = 1 };

/* Puts @fd into the caller's table and answers with its number there, in one step. */
int listener_inject(const struct listener *l, uint64_t id, int fd, enum inject_flags flags);
