/*
 * A running process with all its threads and descendants, stopped by ptrace.
 * Nothing of it sees the stop: no signal is sent, job control stays as it is, and the calls the stop
 * cut short are restarted.
 *
 * ptrace binds to the calling thread: it stops, injects and releases. A thread that
 * cannot be stopped in time can be let go only by that thread's end.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct seized_thread {
	pid_t pid, tid;
	bool stopped, gone;
};

struct seized_process {
	pid_t pid;
	bool gone; /* a zombie, or it ended meanwhile */
};

struct seized {
	struct seized_process
		*processes; /* owned; the first is the root, parents before children */
	unsigned process_count, process_room;
	struct seized_thread *threads; /* owned */
	unsigned thread_count, thread_room;
};

/*
 * Stops @root and all that descends from it, but for @skip (0-terminated) and what descends from those.
 * 0; -EAGAIN: a thread is deep in the kernel (vfork, disk): release, end this thread, try again; else
 * -errno and a text. @ret is to be released in any case.
 */
int seize_tree(pid_t root, const pid_t *skip, struct seized *ret, struct err *err);

/* Lets all go on where they were stopped. */
void seize_release(struct seized *s);

/* The thread of @pid that an injection suits best; 0: none does. */
pid_t seize_choose(const struct seized *s, pid_t pid);
