#include "sandbox/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/proc.h"

enum { FIELD_START = 22, KILL_PAUSE_MS = 5 };

struct seen {
	pid_t pid, parent;
	uint64_t start_ticks;
};

static int open_process(const struct tree *t, pid_t pid)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", pid);
	return openat(t->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void tree_init(struct tree *t, int proc_fd)
{
	*t = (struct tree){ .proc_fd = proc_fd };
}

static int append(struct tree *t, pid_t pid, uint64_t start_ticks)
{
	if (t->count == t->room) {
		unsigned room = t->room ? t->room * 2 : 16;
		struct tree_member *more = reallocarray(t->members, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->members = more;
		t->room = room;
	}
	t->members[t->count++] = (struct tree_member){ pid, start_ticks };
	return 0;
}

int tree_add(struct tree *t, pid_t pid)
{
	cleanup_fd int dir = open_process(t, pid);
	if (dir < 0)
		return -ESRCH;
	return append(t, pid, proc_stat_number(dir, FIELD_START));
}

bool tree_has(const struct tree *t, pid_t pid)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->members[i].pid == pid)
			return true;
	return false;
}

/* All processes there are. Number; *ret is to be freed. */
static unsigned look(const struct tree *t, struct seen **ret)
{
	struct seen *all = NULL;
	unsigned count = 0, room = 0;
	cleanup_dir DIR *dir = fd_opendir(t->proc_fd, ".", 0);
	for (const struct dirent *e; dir && (e = readdir(dir));) {
		if (*e->d_name < '1' || *e->d_name > '9')
			continue;
		if (count == room) {
			room = room ? room * 2 : 256;
			struct seen *more = reallocarray(all, room, sizeof(*more));
			if (!more)
				break;
			all = more;
		}
		cleanup_fd int fd = openat(dirfd(dir), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct proc_stat st;
		if (fd >= 0 && proc_stat_read(fd, &st) == 0 && st.state != 'Z' && st.state != 'X')
			all[count++] = (struct seen){ .pid = (pid_t)strtol(e->d_name, NULL, 10),
						      .parent = st.parent,
						      .start_ticks = st.start_ticks };
	}
	*ret = all;
	return count;
}

static const struct seen *find(const struct seen *all, unsigned count, pid_t pid)
{
	for (unsigned i = 0; i < count; i++)
		if (all[i].pid == pid)
			return &all[i];
	return NULL;
}

void tree_refresh(struct tree *t)
{
	cleanup_free struct seen *all = NULL;
	unsigned count = look(t, &all), kept = 0;
	for (unsigned i = 0; i < t->count; i++) {
		const struct seen *s = find(all, count, t->members[i].pid);
		if (s && s->start_ticks == t->members[i].start_ticks)
			t->members[kept++] = t->members[i];
	}
	t->count = kept;
	for (bool found = true; found;) {
		found = false;
		for (unsigned i = 0; i < count; i++) {
			if (!tree_has(t, all[i].parent) || tree_has(t, all[i].pid))
				continue;
			if (append(t, all[i].pid, all[i].start_ticks) < 0)
				return;
			found = true;
		}
	}
}

/* The number is checked once the process is held: a later owner of it is not met. */
static void kill_member(const struct tree *t, const struct tree_member *m)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	cleanup_fd int dir = open_process(t, m->pid);
	if (pidfd >= 0 && dir >= 0 && proc_stat_number(dir, FIELD_START) == m->start_ticks)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

unsigned tree_kill(struct tree *t, unsigned patience_ms)
{
	for (unsigned waited = 0;; waited += KILL_PAUSE_MS) {
		tree_refresh(t);
		for (unsigned i = 0; i < t->count; i++)
			kill_member(t, &t->members[i]);
		if (t->count == 0 || waited >= patience_ms)
			return t->count;
		struct timespec pause = { .tv_nsec = KILL_PAUSE_MS * 1000000 };
		nanosleep(&pause, NULL);
	}
}

void tree_finish(struct tree *t)
{
	free(t->members);
	tree_init(t, -1);
}
