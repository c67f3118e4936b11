/* The small files of /proc/PID, read whole. proc(5). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { PROC_STATUS_SIZE = 4096 };

/* @name in @dirfd, NUL-terminated, at most @size - 1 bytes of it. Length or -errno. */
ssize_t proc_read(int dirfd, const char *name, char *buf, size_t size);

/*
 * The same of a file that is one record, as stat and status are: one read gives all of it, so none is spent on its end.
 */
ssize_t proc_read_record(int dirfd, const char *name, char *buf, size_t size);

/* Value of a "Name:\t..." line of a status file; NULL when missing. */
const char *proc_field(const char *status, const char *name);
/* The same as a number; 0 when missing. */
unsigned long proc_number(const char *status, const char *name, int base);

/* Field @n of the stat file of @dirfd, counted as in proc(5) from 4 on; 0 when it cannot be read. */
unsigned long long proc_stat_number(int dirfd, unsigned n);
struct proc_stat {
	char state;
	pid_t parent;
	unsigned long long start_ticks;
};
/* What a listing of processes wants of the stat file, in one read. 0, -ESRCH. */
int proc_stat_read(int dirfd, struct proc_stat *ret);

/* Field 3, the state: 'R', 'S', 'D', 'Z' ...; 'X' when it cannot be read. */
char proc_stat_state(int dirfd);
