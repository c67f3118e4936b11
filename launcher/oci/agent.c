/*
 * Theory of operation. One process waits in poll for connections, for what they say, and for the end of its
 * workers. It decides nothing of a container's calls: a worker process for each container does, so that one
 * container cannot hold up another. Connection -> whole claim -> its guest by (uid, id): a new worker, or
 * one more listener for the one that is there.
 *
 * Whatever cannot be served loses its listener: what that container asks for then fails with ENOSYS. The
 * same is true of all when this process ends, unless the service manager keeps the listeners (guest.h).
 */
#include "launcher/oci/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/oci/conn.h"
#include "launcher/oci/guest.h"
#include "launcher/oci/registered.h"
#include "launcher/service.h"

enum { LISTENERS = 8, CONNS = 256, GUESTS = 1024, USER_PART = 4, TICK_MS = 1000, BACKLOG = 128 };

struct agent {
	const struct oci_agent_options *options;
	int listeners[LISTENERS]; /* owned */
	unsigned listener_count;
	int signal_fd; /* owned */
	sigset_t mask; /* as it was before */
	struct oci_conn conns[CONNS];
	struct oci_guest guests[GUESTS];
	unsigned guest_count;
	struct oci_registry registry;
	bool ending;
};

static bool is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool may_connect(const struct agent *a, uid_t uid)
{
	for (unsigned i = 0; i < a->options->uid_count; i++)
		if (a->options->uids[i] == uid)
			return true;
	return is_ours(uid);
}

/* A user's part of a table: so that one user cannot keep the others out. */
static bool has_part(uid_t uid, unsigned held, unsigned size)
{
	return !is_ours(uid) && held >= size / USER_PART;
}

static unsigned conns_of(const struct agent *a, uid_t uid)
{
	unsigned held = 0;
	for (unsigned i = 0; i < CONNS; i++)
		held += a->conns[i].fd >= 0 && a->conns[i].uid == uid;
	return held;
}

static unsigned guests_of(const struct agent *a, uid_t uid)
{
	unsigned held = 0;
	for (unsigned i = 0; i < a->guest_count; i++)
		held += a->guests[i].uid == uid;
	return held;
}

static struct oci_guest *find_guest(struct agent *a, uid_t uid, const char *id)
{
	for (unsigned i = 0; i < a->guest_count; i++)
		if (a->guests[i].uid == uid && !strcmp(a->guests[i].id, id))
			return &a->guests[i];
	return NULL;
}

/* Root may name any policy; a user's containers have the one that the administrator chose. */
static int choose_policy(const struct agent *a, const struct oci_claim *claim, uid_t uid,
			 const char **ret, struct err *err)
{
	const char *otherwise = a->options->default_policy;
	*ret = *claim->policy && is_ours(uid) ? claim->policy : otherwise;
	if (*claim->policy && !is_ours(uid) &&
	    (!otherwise || strcmp(claim->policy, otherwise) != 0))
		return err_set(err, EPERM, "uid %u may not choose the policy %s", uid,
			       claim->policy);
	if (!*ret)
		return err_set(
			err, EINVAL,
			"no policy is named for it, by metadata or by annotation, and there is "
			"no --default-policy");
	return 0;
}

static int admit(struct agent *a, struct oci_conn *c, const struct oci_claim *claim,
		 struct err *err)
{
	struct oci_guest *g = find_guest(a, c->uid, claim->id);
	/* another container of that name is none that was told of: the one before may not have gone yet */
	bool joins = g && (claim->exec || claim->init == g->init);
	const char *policy;
	int r = choose_policy(a, claim, c->uid, &policy, err);
	if (r < 0)
		return r;
	if (!joins && (a->options->flags & OCI_AGENT_REGISTERED)) {
		const struct oci_registered *known =
			oci_registered_find(&a->registry, c->uid, claim->id);
		if (!known || (known->pid && claim->init && known->pid != claim->init))
			return err_set(err, EPERM, "no createRuntime hook has told of it");
	}
	cleanup_fd int listener = oci_conn_listener(c, claim, err);
	if (listener < 0)
		return listener;
	if (joins)
		return oci_guest_add(g, claim->pid, take_fd(&listener), err);
	if (a->guest_count == GUESTS || has_part(c->uid, guests_of(a, c->uid), GUESTS))
		return err_set(err, ENOSPC, "there are %u containers already",
			       is_ours(c->uid) ? a->guest_count : guests_of(a, c->uid));
	g = &a->guests[a->guest_count];
	r = oci_guest_start(g, claim, c->uid, policy, take_fd(&listener), err);
	if (r < 0) {
		oci_guest_forget(g);
		return r;
	}
	a->guest_count++;
	log_info("container %s: policy %s, pid %d", g->id, g->policy, g->init);
	return 0;
}

static void on_claim(struct agent *a, struct oci_conn *c, const struct oci_claim *claim)
{
	struct err err;
	switch (claim->kind) {
	case OCI_CLAIM_LISTENER:
		if (admit(a, c, claim, &err) < 0)
			log_error(
				"container %s of uid %u is not served, and what it asks for fails: "
				"%s",
				claim->id, c->uid, err.text);
		break;
	case OCI_CLAIM_CREATED:
		if (has_part(c->uid, oci_registered_count(&a->registry, c->uid), OCI_REGISTERED)) {
			log_error("container %s: too many of uid %u are expected already",
				  claim->id, c->uid);
			return; /* and its hook hears nothing */
		}
		oci_registered_add(&a->registry, c->uid, claim);
		break;
	case OCI_CLAIM_STOPPED:
		oci_registered_remove(&a->registry, c->uid, claim->id);
		break;
	}
	/* a hook waits for the word that it was heard */
	if (claim->kind != OCI_CLAIM_LISTENER && send(c->fd, "ok\n", 3, MSG_NOSIGNAL) < 0)
		log_detail("a hook has not waited, continuing");
}

static void on_conn(struct agent *a, struct oci_conn *c)
{
	struct oci_claim claim;
	struct err err;
	int r = oci_conn_read(c, &claim, &err);
	if (r == 0)
		return;
	if (r == 1)
		on_claim(a, c, &claim);
	else if (r != -ENODATA)
		log_error("pid %d of uid %u: %s", c->pid, c->uid, err.text);
	oci_conn_close(c);
}

static void on_connection(struct agent *a, int listener)
{
	struct err err;
	struct oci_conn *free_one = NULL;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (unsigned i = 0; i < CONNS && !free_one; i++)
		if (a->conns[i].fd < 0)
			free_one = &a->conns[i];
	if (!free_one) {
		log_warn("%d connections are open already, one more is refused", CONNS);
		close(fd);
		return;
	}
	if (oci_conn_open(free_one, fd, &err) < 0) {
		log_error("a connection is refused: %s", err.text);
	} else if (!may_connect(a, free_one->uid)) {
		log_error("uid %u may not connect (--allow-uid)", free_one->uid);
		oci_conn_close(free_one);
	} else if (has_part(free_one->uid, conns_of(a, free_one->uid) - 1, CONNS)) {
		log_error("uid %u has %d connections open already, one more is refused",
			  free_one->uid, CONNS / USER_PART);
		oci_conn_close(free_one);
	}
}

static void on_worker(struct agent *a, struct oci_guest *g)
{
	int status = 0;
	if (waitpid(g->worker, &status, 0) == g->worker)
		log_info("container %s: its session has ended", g->id);
	oci_guest_forget(g);
	*g = a->guests[--a->guest_count];
}

static void on_signal(struct agent *a)
{
	struct signalfd_siginfo info;
	while (read(a->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		a->ending = true;
}

/* Those whose message is not whole in time. */
static void on_tick(struct agent *a)
{
	for (unsigned i = 0; i < CONNS; i++)
		if (a->conns[i].fd >= 0 && a->conns[i].begun_ms)
			on_conn(a, &a->conns[i]);
}

static void serve(struct agent *a)
{
	static struct pollfd p[1 + LISTENERS + CONNS + GUESTS];
	service_tell("READY=1", -1);
	while (!a->ending) {
		unsigned n = 0, guests = a->guest_count;
		p[n++] = (struct pollfd){ .fd = a->signal_fd, .events = POLLIN };
		for (unsigned i = 0; i < a->listener_count; i++)
			p[n++] = (struct pollfd){ .fd = a->listeners[i], .events = POLLIN };
		unsigned conns = n;
		for (unsigned i = 0; i < CONNS; i++)
			p[n++] = (struct pollfd){ .fd = a->conns[i].fd, .events = POLLIN };
		for (unsigned i = 0; i < guests; i++)
			p[n++] = (struct pollfd){ .fd = a->guests[i].worker_pidfd,
						  .events = POLLIN };
		int ready = poll(p, n, TICK_MS);
		if (ready < 0)
			continue;
		if (ready == 0) {
			on_tick(a);
			continue;
		}
		/* guests first, from the last: the gap is filled by one that was looked at */
		for (unsigned i = guests; i-- > 0;)
			if (p[conns + CONNS + i].revents)
				on_worker(a, &a->guests[i]);
		for (unsigned i = 0; i < CONNS; i++)
			if (p[conns + i].fd >= 0 && p[conns + i].revents)
				on_conn(a, &a->conns[i]);
		for (unsigned i = 0; i < a->listener_count; i++)
			if (p[1 + i].revents)
				on_connection(a, a->listeners[i]);
		if (p[0].revents)
			on_signal(a);
	}
	service_tell("STOPPING=1", -1);
}

static int make_listener(struct agent *a, const char *path, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;
	if (*path != '/' || strlen(path) >= sizeof(at.sun_path))
		return err_set(err, EINVAL,
			       "--listen %.100s: an absolute path of less than %zu bytes", path,
			       sizeof(at.sun_path));
	strcpy(at.sun_path, path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "no socket");
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return err_set(err, EADDRINUSE, "%s: somebody listens there already", path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid())
		unlink(path); /* nobody listens on it: it was left behind */
	mode_t old = umask(a->options->uid_count ? 0111 : 0177);
	int r = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
	umask(old);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(err, r < 0 ? -r : errno, "%s: cannot listen there", path);
	a->listeners[a->listener_count++] = take_fd(&fd);
	return 0;
}

static bool listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static int prepare(struct agent *a, struct err *err)
{
	struct service_fd *fds;
	unsigned count = service_fds(&fds);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &a->mask);
	a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < CONNS; i++)
		a->conns[i].fd = -1;
	for (unsigned i = 0; i < count; i++)
		if (a->listener_count < LISTENERS && listens(fds[i].fd)) {
			fcntl(fds[i].fd, F_SETFL, fcntl(fds[i].fd, F_GETFL) | O_NONBLOCK);
			a->listeners[a->listener_count++] = take_fd(&fds[i].fd);
		}
	a->guest_count = oci_guest_restore(fds, count, a->guests, GUESTS);
	if (a->guest_count)
		log_info("%u containers go on under this agent", a->guest_count);
	free(fds);
	if (a->options->listen && a->listener_count == 0)
		return make_listener(a, a->options->listen, err);
	return a->listener_count
		       ? 0
		       : err_set(err, EINVAL,
				 "no socket: --listen PATH, or one of the service manager's");
}

int oci_agent_run(const struct oci_agent_options *o)
{
	static struct agent agent; /* large, and the process's only one */
	struct agent *a = &agent;
	struct err err;
	a->options = o;
	int r = prepare(a, &err);
	if (r < 0)
		log_error("agent: %s", err.text);
	else
		serve(a);
	for (unsigned i = 0; i < CONNS; i++)
		oci_conn_close(&a->conns[i]);
	/* the end of a channel is the end of its worker; what the manager keeps stays */
	for (unsigned i = 0; i < a->guest_count; i++) {
		pid_t worker = a->guests[i].worker;
		oci_guest_finish(&a->guests[i]);
		waitpid(worker, NULL, 0);
	}
	return r < 0 ? EXIT_USAGE : 0;
}
