/*
 * The monitor of a container that a runtime makes: runc or crun loads a filter with the rules that
 * launcher/oci/profile.c derives from the table, and sends its listener through the agent.
 *
 * It enters the container's mount namespace (container.h) and stays in our pid namespace, so that paths mean what
 * they mean inside and processes have the numbers that listener and /proc give them. As in an attached tree
 * nothing is continued that rests on memory, and calls are made with their caller's ids.
 *
 * States of a listener:
 *   the runtime's   what its process asks for is the runtime's own work, and let through; its execve
 *                   is the first call that is decided                           -> the container's
 *   the container's everything is decided
 * A second listener is that of a process the runtime puts into the container later (exec).
 *
 * The container is its runtime's: whatever ends this process leaves it alive. Its calls then fail with
 * ENOSYS, or wait if somebody keeps the listeners to start another monitor with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/attached.h"
#include "sandbox/container.h"
#include "sandbox/slate.h"

enum { LAST_ANSWER_MS = 1000 };

struct orphan {
	const struct listener *listener;
	unsigned count;
};

/* Nobody knows whether it was carried out: the caller is told that it was interrupted. */
static void answer_orphan(void *arg, uint64_t id)
{
	struct orphan *o = arg;
	if (listener_answer(o->listener, id, -EINTR) == 0)
		o->count++;
}

/* What is stopped and killed with the container must be in it, whatever the claim says. */
static bool is_inside(const struct attached_watch *w, pid_t pid)
{
	char name[32];
	struct stat st;
	snprintf(name, sizeof(name), "%d/ns/mnt", pid);
	return pid > 0 && fstatat(w->tree.proc_fd, name, &st, 0) == 0 && st.st_ino == w->mount_ns;
}

static void add_listener(struct attached_watch *w, const struct container_packet *m, int fd)
{
	struct watch *watch = w->watch;
	if (!m->adopted)
		slate_forget(watch->slate, m->number);
	struct listener how = {
		.runtime = slate_begun(watch->slate, m->number) ? 0
			   : m->pid > 0                         ? m->pid
								: LISTENER_FIRST_CALLER,
		.slate = watch->slate,
		.number = m->number,
	};
	struct listener old = watch->listeners.sizes;
	old.fd = fd;
	struct orphan orphan = { .listener = &old };
	slate_take(watch->slate, m->number, answer_orphan, &orphan);
	if (orphan.count)
		watch_notice(watch,
			     "%u calls were under way when the monitor before this one ended; they "
			     "are interrupted",
			     orphan.count);
	if (__atomic_load_n(&watch->closing, __ATOMIC_RELAXED) ||
	    listeners_add_as(&watch->listeners, fd, &how) < 0)
		close(fd); /* what is behind it fails from here on */
	else if (is_inside(w, m->pid))
		tree_add(&w->tree, m->pid);
}

/* One packet: 1; 0 at the end; -EAGAIN; -EPROTO. */
static int receive(int channel, struct container_packet *ret, int *ret_fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(channel, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	if (n == (ssize_t)sizeof(*ret))
		return 1;
	close(*ret_fd);
	return -EPROTO;
}

static bool on_channel(struct attached_watch *w)
{
	for (;;) {
		struct container_packet m;
		int fd;
		int r = receive(w->channel_fd, &m, &fd);
		if (r == -EAGAIN || r == -EINTR)
			return true;
		if (r <= 0)
			return false;
		add_listener(w, &m, fd);
	}
}

static int prepare(struct attached_watch *w, struct err *err)
{
	const struct attach_plan *attach = w->plan->attach;
	int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return err_sys(err, errno, "monitor: cannot open /proc");
	tree_init(&w->tree, proc_fd);
	struct slate *slate = slate_open(attach->container->slate_fd, err);
	if (!slate)
		return -EPROTO;
	tzset(); /* from our files, not from the container's */
	monitor_settle();
	const struct container_entry entry = { .pid = attach->pid,
					       .proc_fd = proc_fd,
					       .session_dirfd = w->plan->box->session_dirfd,
					       .peer = attach->container->peer };
	int r = container_enter(&entry, &w->mount_ns, err);
	if (r == 0)
		r = attached_prepare(w, proc_fd, err);
	if (r < 0)
		return r;
	slate_sign(slate, w->plan->box->session_id);
	w->watch->slate = slate;
	w->watch->listeners.growing = true;
	tracees_confine(w->watch->tracees, w->mount_ns);
	tree_add(&w->tree, attach->pid);
	return 0;
}

int monitor_container_main(const struct monitor_plan *plan)
{
	struct err err = { 0 };
	struct watch *watch = calloc(1, sizeof(*watch));
	struct attached_watch w = { .plan = plan,
				    .watch = watch,
				    .channel_fd = plan->attach->container->channel_fd,
				    .on_channel = on_channel };
	if (!watch)
		return 1;
	int r = prepare(&w, &err);
	if (r == 0 &&
	    !on_channel(&w)) /* the listener it is about was sent before we were started */
		r = err_set(&err, EPIPE, "monitor: nobody sends a listener");
	if (r == 0 && watch->listeners.count == 0)
		r = err_set(&err, EPROTO, "monitor: there is no listener to serve");
	if (r < 0) {
		monitor_tell(plan, MONITOR_FAILED, -r, err.text);
		return 1;
	}
	monitor_tell(plan, MONITOR_STARTED, plan->attach->pid, "box");
	pthread_mutex_unlock(&watch->leader);
	attached_supervise(&w, true);
	/*
	 * The container goes on, so no thread may end with us in the middle of an answer: an open whose descriptor
	 * is on its way then returns 0 with no descriptor (the kernel's seccomp_notify_addfd). One that is busy for
	 * longer is not answering.
	 */
	freeze_gate_within(&watch->freeze, LAST_ANSWER_MS);
	monitor_tell(plan, MONITOR_EXIT, 0, "");
	if (plan->agents_dirfd >= 0)
		history_save(plan->history, plan->agents_dirfd, plan->agent, &err);
	return 0;
}
