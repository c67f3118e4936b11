/*
 * What this machine can enforce, found out by trying: each probe does in a
 * forked child what a run would do, so nothing of the caller changes. What is only
 * read (probe_host.c) is read below a root directory, so that tests can show the
 * /proc, /sys and /etc of other machines.
 */
#pragma once

#include <sys/types.h>

enum probe_level { PROBE_OK, PROBE_WARN, PROBE_FAIL, PROBE_LEVEL_COUNT };

struct probe_result {
	enum probe_level level;
	char text[256]; /* what was found; for warn and fail the cause */
	char fix[256];  /* one line to do about it; "" nothing */
};

struct probe_host {
	int root_fd;            /* where /proc, /sys, /etc and /run are read; borrowed */
	uid_t uid;              /* who would run */
	const char *user;       /* the name of that user; NULL unknown */
	const char *mark;       /* $VSANDBOX; NULL not set */
	const char *state_path; /* where the overlays' upper halves will be */
};

struct probe {
	const char *name;
	const char *purpose; /* what a run needs it for */
	void (*run)(const struct probe_host *h, struct probe_result *ret);
};

/* Ended by a NULL name. */
extern const struct probe probe_table[];

const char *probe_level_name(enum probe_level level); /* "ok" "warn" "fail" */

/* For the files of probes: fills @ret. */
void probe_found(struct probe_result *ret, enum probe_level level, const char *fix, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

/* Runs @attempt in a child. What it returned: 0 or more, or -errno. */
int probe_in_child(int (*attempt)(const char *arg), const char *arg);

void probe_listener_notify(const struct probe_host *h, struct probe_result *ret);
void probe_listener_killable(const struct probe_host *h, struct probe_result *ret);
void probe_listener_addfd(const struct probe_host *h, struct probe_result *ret);
void probe_listener_fast_reply(const struct probe_host *h, struct probe_result *ret);

/* Reading alone; @errnum is what a user namespace could not be made for, 0 it could. */
void probe_host_userns(const struct probe_host *h, int errnum, struct probe_result *ret);
void probe_host_yama(const struct probe_host *h, struct probe_result *ret);
void probe_host_cgroup(const struct probe_host *h, struct probe_result *ret);
void probe_host_subuid(const struct probe_host *h, struct probe_result *ret);
void probe_host_fuse(const struct probe_host *h, struct probe_result *ret);
void probe_host_container(const struct probe_host *h, struct probe_result *ret);
void probe_host_wsl(const struct probe_host *h, struct probe_result *ret);
