/*
 * Who holds a socket: descriptors of any process inside, and the epoll sets it is registered with.
 * proc(5), /proc/PID/fdinfo. Private to sandbox/.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "sandbox/tracee.h"

enum { HOLDERS_SETS_MAX = 16 };

/* As epoll_ctl(2) was told it. */
struct holders_registration {
	int set_fd; /* a duplicate of the epoll descriptor; owned */
	int number; /* the descriptor's number when it was registered: part of the key */
	uint32_t events;
	uint64_t data;
};

struct holders {
	struct holders_registration sets[HOLDERS_SETS_MAX];
	unsigned set_count;
	unsigned others; /* descriptors of the socket beside the caller's @number */
};

/*
 * Looks for the socket with this inode in the table of @task, where it is @number, and in those of all
 * descendants of @init_pid; @proc_fd: the outer /proc. 0; -E2BIG: too many descriptors or sets to look
 * through; else -errno. What is copied meanwhile is missed.
 */
int holders_find(int proc_fd, pid_t init_pid, const struct tracee *task, int number, ino_t inode,
		 struct holders *ret);
/* Registers @fd in the socket's stead, under the same numbers. 0, -errno: some may be missing. */
int holders_register(const struct holders *h, int fd);
void holders_finish(struct holders *h);
