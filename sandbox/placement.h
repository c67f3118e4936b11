/*
 * On which processor a caller wakes up when a descriptor is put into its table.
 *
 * The kernel can wake a caller on the processor of who answers (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6),
 * but not for SECCOMP_IOCTL_NOTIF_ADDFD (6.18): there it looks for an idle one, and to wake that costs 50 to
 * 100 us on a virtual machine, against 3 on the same; then the caller wakes the monitor, which costs as much.
 * So where wakes are seen to go far both are confined to one processor for the length of that one ioctl.
 *
 * Seen from inside: a thread that asks for the affinity of another one which is just then opening a file may be
 * told of a single processor. What somebody sets meanwhile stays (but for the instant between look and restore).
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One leader's memory of it; zeroed to begin with. */
struct placement {
	unsigned narrow_left; /* further wakes to be kept near */
	unsigned rest;        /* wakes until confining is tried again: it did not help */
	unsigned slow;        /* of the confined ones, how many took long all the same */
	unsigned online;      /* processors; 0 not asked yet */
	bool narrowed;
	uint64_t begun_ns;
	cpu_set_t here, caller, ours; /* the one processor; what both may use otherwise */
};

/* Around the ioctl that wakes thread @tid, which is blocked until then. */
void placement_begin(struct placement *p, pid_t tid);
void placement_end(struct placement *p, pid_t tid);
