/*
 * On which processor a caller wakes up when a descriptor is put into its table.
 *
 * The kernel can wake a caller on the processor of who answers (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6),
 * but not for SECCOMP_IOCTL_NOTIF_ADDFD (6.18): there it looks for an idle one, and to wake that costs 50 to
 * 100 us on a virtual machine, against 3 on the same; then the caller wakes the monitor, which costs as much.
 * So where wakes are seen to go far the caller is confined to our processor while it takes the descriptor.
 *
 * It must be back to its own affinity before it runs on: what it forks inherits it, and nproc(1) counts it. So the
 * descriptor is put there without an answer (listener_put), and the answer comes after placement_end.
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
	uint64_t begun_ns;
	bool staying;                 /* this thread is confined to `here` */
	cpu_set_t here, caller, ours; /* the one processor; what both may use otherwise */
};

/*
 * Around the ioctl that wakes thread @tid, which is blocked until then. True: it is confined, and must still be
 * blocked at placement_end, which gives it its affinity back.
 */
bool placement_begin(struct placement *p, pid_t tid);
void placement_end(struct placement *p, pid_t tid, bool confined);

/* Before this thread leads no more, or makes another one. */
void placement_leave(struct placement *p);
