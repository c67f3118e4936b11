#include "sandbox/sampler.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/watch.h"

enum { INTERVAL_MS = 500 };

struct usage {
	uint64_t ticks, rss_pages, processes;
	unsigned top_pid; /* the largest in memory */
	uint64_t top_pages;
};

void sampler_init(struct sampler *s, const struct policy *policy, const struct tree *only)
{
	*s = (struct sampler){ .monitors = &policy->monitors, .proc_fd = -1, .only = only };
	if (s->monitors->cpu || s->monitors->memory ||
	    (s->monitors->process_count && s->monitors->processes_max))
		s->proc_fd = only ? openat(only->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				  : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->last_ns = clock_ns(CLOCK_MONOTONIC);
}

int sampler_interval_ms(const struct sampler *s)
{
	return s->proc_fd < 0 ? -1 : INTERVAL_MS;
}

static void add_process(int proc_fd, const char *pid, struct usage *u)
{
	char name[32], text[1024];
	snprintf(name, sizeof(name), "%.20s/stat", pid);
	cleanup_fd int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	const char *p = strrchr(text, ')');
	unsigned long long utime, stime, cutime, cstime;
	long long rss;
	/* proc_pid_stat(5): 14-17 are the times, 24 the resident pages */
	if (!p || sscanf(p + 1,
			 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d "
			 "%*d %*d %*d %*u %*u %lld",
			 &utime, &stime, &cutime, &cstime, &rss) != 5)
		return;
	u->ticks += utime + stime + cutime + cstime;
	u->processes += strcmp(pid, "1") != 0; /* init is ours */
	u->rss_pages += rss > 0 ? (uint64_t)rss : 0;
	if (rss > 0 && (uint64_t)rss > u->top_pages) {
		u->top_pages = (uint64_t)rss;
		u->top_pid = (unsigned)strtoul(pid, NULL, 10);
	}
}

static void scan(int proc_fd, const struct tree *only, struct usage *u)
{
	cleanup_dir DIR *dir = fd_opendir(proc_fd, ".", 0);
	for (const struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    (!only || tree_has(only, (pid_t)strtol(e->d_name, NULL, 10))))
			add_process(proc_fd, e->d_name, u);
}

/* True once for each episode above the threshold. */
static bool begins(bool above, bool *told)
{
	bool first = above && !*told;
	*told = above;
	return first;
}

static void tell_cpu(struct sampler *s, struct watch *watch, double percent, double elapsed)
{
	char text[200];
	s->above_s = percent > s->monitors->cpu_percent ? s->above_s + elapsed : 0;
	bool above = s->above_s > 0 && s->above_s >= s->monitors->cpu_seconds;
	if (!s->monitors->cpu || !begins(above, &s->cpu_told))
		return;
	snprintf(text, sizeof(text), "CPU above %.0f %% of one processor for %.1f s (now %.0f %%)",
		 s->monitors->cpu_percent, s->above_s, percent);
	watch_threshold(watch, "cpu", text);
}

static void tell_memory(struct sampler *s, struct watch *watch, const struct usage *u)
{
	char text[200];
	uint64_t bytes = u->rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	if (!s->monitors->memory || !begins(bytes > s->monitors->memory_bytes, &s->memory_told))
		return;
	snprintf(text, sizeof(text), "memory above %llu MiB: %llu MiB, most of it in pid %u",
		 (unsigned long long)(s->monitors->memory_bytes >> 20),
		 (unsigned long long)(bytes >> 20), u->top_pid);
	watch_threshold(watch, "memory", text);
}

static void tell_processes(struct sampler *s, struct watch *watch, const struct usage *u)
{
	char text[200];
	uint64_t most = s->monitors->processes_max;
	if (!s->monitors->process_count || !most ||
	    !begins(u->processes > most, &s->processes_told))
		return;
	snprintf(text, sizeof(text), "processes above %llu: %llu", (unsigned long long)most,
		 (unsigned long long)u->processes);
	watch_threshold(watch, "process_count", text);
}

void sampler_take(struct sampler *s, struct watch *watch)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	double elapsed = (double)(now - s->last_ns) / 1e9;
	if (s->proc_fd < 0)
		return;
	if (watch->freeze.reasons) {
		s->was_frozen = true;
		return;
	}
	if (!s->was_frozen && elapsed < 0.9 * INTERVAL_MS / 1000)
		return;
	struct usage u = { 0 };
	scan(s->proc_fd, s->only, &u);
	uint64_t spent = u.ticks > s->last_ticks ? u.ticks - s->last_ticks : 0;
	double percent = 100.0 * (double)spent / (double)sysconf(_SC_CLK_TCK) / elapsed;
	s->last_ticks = u.ticks;
	s->last_ns = now;
	if (s->was_frozen) {
		s->was_frozen = false;
		return;
	}
	tell_cpu(s, watch, percent, elapsed);
	tell_memory(s, watch, &u);
	tell_processes(s, watch, &u);
}
