#include "sandbox/holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/proc.h"

enum {
	DESCRIPTORS_MAX = 512, /* looked at for one socket, over all processes: some 2 us each */
	PROCESSES_MAX = 1024,
	LINK_SIZE = 64,
	FDINFO_SIZE = 65536,
	STACK_SIZE = 64 * 1024,
};

struct search {
	struct holders *found;
	const struct tracee *task;
	int proc_fd, number;
	ino_t inode;
	char name[LINK_SIZE]; /* "socket:[inode]" */
	unsigned looked_at;
};

static int add_set(struct search *s, int set_number, const struct holders_registration *r)
{
	struct holders *h = s->found;
	if (h->set_count == HOLDERS_SETS_MAX)
		return -E2BIG;
	int fd = tracee_getfd(s->task, set_number);
	if (fd < 0)
		return fd;
	h->sets[h->set_count] = *r;
	h->sets[h->set_count++].set_fd = fd;
	return 0;
}

/* The lines of an epoll set in fdinfo: "tfd: 5 events: 19 data: 5 pos:0 ino:1a2b sdev:8". */
static int look_into_set(struct search *s, int fds_fd, int set_number)
{
	char name[32];
	cleanup_free char *text = malloc(FDINFO_SIZE);
	int r = 0;
	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), "../fdinfo/%d", set_number);
	ssize_t len = proc_read(fds_fd, name, text, FDINFO_SIZE);
	if (len < 0)
		return (int)len;
	if (len == FDINFO_SIZE - 1)
		return -E2BIG;
	for (const char *line = strstr(text, "tfd:"); line && r == 0;
	     line = strstr(line + 1, "\ntfd:")) {
		struct holders_registration g = { .set_fd = -1 };
		uint64_t inode = 0;
		line += *line == '\n';
		if (sscanf(line,
			   "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%*d ino:%" SCNx64,
			   &g.number, &g.events, &g.data, &inode) != 4)
			return -EPROTO;
		if (inode == s->inode)
			r = add_set(s, set_number, &g);
	}
	return r;
}

enum table { TABLE_OF_CALLER, TABLE_OF_ANOTHER };

static int look_through(struct search *s, int dirfd, const char *path, enum table table)
{
	char link[LINK_SIZE];
	int r = 0;
	cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) /* a process that has ended meanwhile holds nothing */
		return table == TABLE_OF_CALLER ? -ESRCH : 0;
	fd = -1; /* the stream owns it */
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		if (++s->looked_at > DESCRIPTORS_MAX)
			return -E2BIG;
		ssize_t len = readlinkat(copy, e->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue; /* closed meanwhile */
		link[len] = '\0';
		int number = atoi(e->d_name);
		if (strcmp(link, s->name) == 0)
			s->found->others += table == TABLE_OF_ANOTHER || number != s->number;
		else if (table == TABLE_OF_CALLER && strcmp(link, "anon_inode:[eventpoll]") == 0)
			r = look_into_set(s, copy, number);
	}
	return r;
}

/* Appends the children of @pid, of whichever of its threads. 0, -E2BIG; -errno: not told by this kernel. */
static int add_children(int proc_fd, pid_t pid, pid_t *pids, unsigned *count)
{
	char name[64], text[8192];
	snprintf(name, sizeof(name), "%d/task", pid);
	cleanup_dir DIR *dir = fd_opendir(proc_fd, name, 0);
	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%d/task/%.16s/children", pid, e->d_name);
		ssize_t len = proc_read(proc_fd, name, text, sizeof(text));
		if (len == -ENOENT && faccessat(proc_fd, "1/task/1/children", F_OK, 0) == 0)
			continue; /* the thread has ended */
		if (len == -ESRCH)
			continue;
		if (len < 0 || len == sizeof(text) - 1)
			return len < 0 ? (int)len : -E2BIG;
		for (char *at = text; *at;) {
			char *end;
			long child = strtol(at, &end, 10);
			if (end == at)
				break;
			if (*count == PROCESSES_MAX)
				return -E2BIG;
			pids[(*count)++] = (pid_t)child;
			at = end + strspn(end, " \n");
		}
	}
	return 0;
}

int holders_find(int proc_fd, pid_t init_pid, const struct tracee *task, int number, ino_t inode,
		 struct holders *ret)
{
	struct search s = {
		.found = ret, .task = task, .proc_fd = proc_fd, .number = number, .inode = inode
	};
	cleanup_free pid_t *pids = malloc(PROCESSES_MAX * sizeof(*pids));
	unsigned count = 0;
	char path[32];
	*ret = (struct holders){ .set_count = 0 };
	if (!pids)
		return -ENOMEM;
	snprintf(s.name, sizeof(s.name), "socket:[%llu]", (unsigned long long)inode);
	int r = look_through(&s, task->dir_fd, "fd", TABLE_OF_CALLER);
	pids[count++] = init_pid;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		snprintf(path, sizeof(path), "%d/fd", pids[i]);
		if (pids[i] != init_pid && pids[i] != task->tgid)
			r = look_through(&s, proc_fd, path, TABLE_OF_ANOTHER);
		if (r == 0)
			r = add_children(proc_fd, pids[i], pids, &count);
	}
	if (r < 0)
		holders_finish(ret);
	return r;
}

void holders_finish(struct holders *h)
{
	for (unsigned i = 0; i < h->set_count; i++)
		close(h->sets[i].set_fd);
	h->set_count = 0;
}

struct registering {
	const struct holders *h;
	int fd, error;
};

/*
 * The number of a descriptor is part of what epoll_ctl(2) remembers: so the new socket must have the very
 * number in a table, which is this thread's own.
 */
static void *register_all(void *arg)
{
	struct registering *g = arg;
	const struct holders *h = g->h;
	int sets[HOLDERS_SETS_MAX], above = 0;
	if (unshare(CLONE_FILES) < 0) {
		g->error = -errno;
		return NULL;
	}
	/* Out of the way of each other; the table ends with this thread. */
	for (unsigned i = 0; i < h->set_count; i++)
		above = h->sets[i].number >= above ? h->sets[i].number + 1 : above;
	int fd = fcntl(g->fd, F_DUPFD_CLOEXEC, above);
	for (unsigned i = 0; i < h->set_count; i++)
		sets[i] = fcntl(h->sets[i].set_fd, F_DUPFD_CLOEXEC, above);
	for (unsigned i = 0; i < h->set_count && !g->error; i++) {
		const struct holders_registration *r = &h->sets[i];
		struct epoll_event e = { .events = r->events, .data.u64 = r->data };
		if (fd < 0 || sets[i] < 0 || dup2(fd, r->number) < 0 ||
		    epoll_ctl(sets[i], EPOLL_CTL_ADD, r->number, &e) < 0)
			g->error = -errno;
	}
	/* The joiner does not wait for the end of the table: the old socket must be gone before. */
	close_range(0, ~0u, 0);
	return NULL;
}

int holders_register(const struct holders *h, int fd)
{
	struct registering g = { .h = h, .fd = fd };
	pthread_attr_t attr;
	pthread_t thread;
	if (!h->set_count)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	int error = pthread_create(&thread, &attr, register_all, &g);
	pthread_attr_destroy(&attr);
	if (error)
		return -error;
	pthread_join(thread, NULL);
	return g.error;
}
