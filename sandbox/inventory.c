#include "sandbox/inventory.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/watch.h"

enum {
	LISTED_MAX = 100, /* notices for one process; the rest is counted */
	LINE_SIZE = 4352,
};

struct listing {
	struct watch *watch;
	pid_t pid;
	char program[ACTION_PATH_SIZE];
	unsigned listed;
	struct inventory *sum;
};

/* Judges and writes down one thing; what it was used for so far is not known, so no history is kept. */
static void note(struct listing *l, struct action *a, const char *what)
{
	struct watch *watch = l->watch;
	char order[ORDERS_NAME];
	struct decision d;
	a->pid = a->tid = l->pid;
	a->program = l->program;
	a->provenance = PROVENANCE_EXISTING;
	a->utc_offset_min = watch->utc_offset_min;
	a->mono_ns = clock_ns(CLOCK_MONOTONIC);
	a->wall_ns = clock_ns(CLOCK_REALTIME);
	pthread_mutex_lock(&watch->log_lock);
	orders_judge(watch, a, order, &d);
	pthread_mutex_unlock(&watch->log_lock);
	bool denied = d.verdict >= VERDICT_PAUSE;
	l->sum->denied += denied;
	if (l->listed++ >= LISTED_MAX)
		return;
	watch_notice(watch, "open before: pid %d %s %s (score %.2f%s%s%s)", l->pid, what,
		     a->resource, (double)d.score.total,
		     denied ? ", the policy would refuse it: " : "",
		     denied ? (d.rule ? d.rule : reason_name(d.reason)) : "",
		     denied ? "; it is not taken away" : "");
}

static void note_file(struct listing *l, int fd, const struct stat *st)
{
	char path[ACTION_PATH_SIZE];
	if (place_fd_path(&l->watch->env, fd, path, sizeof(path)) < 0)
		return;
	struct action a = { .type = ACTION_FILE_WRITE,
			    .op = OP_WRITE,
			    .resource = path,
			    .size_bytes = st->st_size,
			    .mode = st->st_mode };
	l->sum->files++;
	note(l, &a, "writes");
}

/* Address and port as text; false for other families. */
static bool address_text(const struct sockaddr_storage *sa, char *address, size_t size,
			 uint16_t *ret_port)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;
	bool is4 = sa->ss_family == AF_INET;
	if (!is4 && sa->ss_family != AF_INET6)
		return false;
	*ret_port = ntohs(is4 ? v4->sin_port : v6->sin6_port);
	return inet_ntop(sa->ss_family, is4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, address,
			 (socklen_t)size);
}

static void note_socket(struct listing *l, int fd, enum inventory_flags flags)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa), size = sizeof(int);
	int type = 0, listening = 0;
	char address[INET6_ADDRSTRLEN], resource[INET6_ADDRSTRLEN + 16];
	uint16_t port;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	size = sizeof(int);
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
	bool connected = getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
	len = sizeof(sa);
	if (!connected && getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return;
	if (!address_text(&sa, address, sizeof(address), &port)) {
		l->sum->sockets++;
		return;
	}
	snprintf(resource, sizeof(resource), strchr(address, ':') ? "[%s]:%u" : "%s:%u", address,
		 port);
	struct action a = { .type = ACTION_NETWORK_REQUEST,
			    .op = connected ? OP_CONNECT : OP_BIND,
			    .resource = resource,
			    .address = address,
			    .port = port,
			    .protocol = type == SOCK_STREAM ? "tcp" : "udp",
			    .size_bytes = -1 };
	if (connected)
		l->sum->connections++;
	else
		l->sum->sockets++;
	if (!connected && !listening && port == 0)
		return; /* a socket that was only made */
	bool cut = connected && type == SOCK_STREAM && (flags & INVENTORY_CUT) &&
		   shutdown(fd, SHUT_RDWR) == 0;
	l->sum->cut += cut;
	note(l, &a, cut ? "was connected (cut) to" : connected ? "is connected to" : "listens at");
}

static void look_at(struct listing *l, int pidfd, int number, enum inventory_flags flags)
{
	struct stat st;
	cleanup_fd int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	int mode = fcntl(fd, F_GETFL);
	if (S_ISSOCK(st.st_mode))
		note_socket(l, fd, flags);
	else if ((S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && mode >= 0 &&
		 (mode & O_ACCMODE) != O_RDONLY)
		note_file(l, fd, &st);
}

/* Shared mappings that write to a file, open or not. */
static void note_mappings(struct listing *l)
{
	char name[32], line[LINE_SIZE];
	snprintf(name, sizeof(name), "%d/maps", l->pid);
	cleanup_fd int fd = openat(l->watch->env.proc_fd, name, O_RDONLY | O_CLOEXEC);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return;
	fd = -1; /* the stream owns it */
	while (fgets(line, sizeof(line), f)) {
		char mode[8];
		char *path = strchr(line, '/');
		if (sscanf(line, "%*s %7s", mode) != 1 || !path || mode[1] != 'w' ||
		    mode[3] != 's' || strncmp(path, "/dev/zero", 9) == 0 ||
		    strncmp(path, "/memfd:", 7) == 0 || strncmp(path, "/SYSV", 5) == 0)
			continue;
		path[strcspn(path, "\n")] = '\0';
		struct action a = { .type = ACTION_FILE_WRITE,
				    .op = OP_WRITE,
				    .resource = path,
				    .size_bytes = -1 };
		l->sum->mappings++;
		note(l, &a, "maps for writing");
	}
}

void inventory_take(struct watch *watch, pid_t pid, enum inventory_flags flags,
		    struct inventory *sum)
{
	struct listing l = { .watch = watch, .pid = pid, .sum = sum };
	char name[32];
	snprintf(name, sizeof(name), "%d/exe", pid);
	ssize_t len = readlinkat(watch->env.proc_fd, name, l.program, sizeof(l.program) - 1);
	l.program[len > 0 ? len : 0] = '\0';
	snprintf(name, sizeof(name), "%d/fd", pid);
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	cleanup_dir DIR *dir = fd_opendir(watch->env.proc_fd, name, 0);
	for (const struct dirent *e; dir && pidfd >= 0 && (e = readdir(dir));)
		if (*e->d_name != '.')
			look_at(&l, pidfd, (int)strtol(e->d_name, NULL, 10), flags);
	note_mappings(&l);
	if (l.listed > LISTED_MAX)
		watch_notice(watch, "open before: pid %d has %u more", pid, l.listed - LISTED_MAX);
}
