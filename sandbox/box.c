/*
 * Theory of operation. Three tasks build the box:
 *
 *   caller (the monitor)    layers and limits; clone3 of init with all namespaces; writes root's id maps;
 *                           takes the listener out of the agent's task with pidfd_getfd
 *   init (pid 1)            maps itself when rootless; loopback; mounts; pivot_root; forks the agent's
 *                           task; then sheds descriptors, capabilities and readability, and only reaps
 *   agent's task            cwd, rlimits, no_new_privs, Landlock, capabilities, descriptors, filter;
 *                           sends the listener's number; waits; execve
 *
 * Two sockets: the gate (agent and, before it exists, init: reports up, one-byte
 * permits down; closed by the execve) and control (init: box_message up,
 * signal numbers down). An error inside comes up the gate as text, so whoever
 * started the box reads why. Every descriptor is close-on-exec.
 *
 * Order matters: all that can fail for a reason outside is tried before
 * clone3; whoever loses a power loses it after its last use; the filter is the last step before
 * the execve, so that nothing of ours is ever judged by it.
 *
 * Death: init has PDEATHSIG and watches control; the pid namespace takes
 * everything else with init. The caller's death is the tree's.
 */
#include "sandbox/box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/path.h"
#include "base/scope.h"
#include "sandbox/box_private.h"
#include "sandbox/reads.h"

const char *box_layer_name(enum box_layer layer)
{
	static const char *const names[LAYER_COUNT] = {
		[LAYER_USERNS] = "userns",     [LAYER_NETNS] = "netns",
		[LAYER_OVERLAY] = "overlay",   [LAYER_PROC] = "proc",
		[LAYER_LANDLOCK] = "landlock", [LAYER_NOTIFY] = "notify",
		[LAYER_CGROUP] = "cgroup",
	};
	return (unsigned)layer < LAYER_COUNT ? names[layer] : "unknown";
}

int box_degrade(const struct box_plan *plan, enum box_layer layer, uint32_t *degraded, int errnum,
		struct err *err, const char *fmt, ...)
{
	if (plan->degraded_ok & (1U << layer)) {
		*degraded |= 1U << layer;
		return 0;
	}
	char why[ERR_TEXT_SIZE];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(err, errnum, "%s: %s: %s; to go on without: --allow-degraded %s",
		       box_layer_name(layer), why, strerrordesc_np(errnum), box_layer_name(layer));
}

static bool sysctl_is(const char *path, const char *value)
{
	cleanup_file FILE *f = fopen(path, "re");
	char line[32];
	return f && fgets(line, sizeof(line), f) && (line[strcspn(line, "\n")] = '\0', 1) &&
	       strcmp(line, value) == 0;
}

/* Why clone3 was refused, as far as the system tells. */
static int explain_clone(int errnum, struct err *err)
{
	if (sysctl_is("/proc/sys/kernel/unprivileged_userns_clone", "0"))
		return err_set(err, errnum,
			       "userns: unprivileged user namespaces are switched off: sysctl "
			       "kernel.unprivileged_userns_clone=1");
	if (errnum == ENOSPC || sysctl_is("/proc/sys/user/max_user_namespaces", "0"))
		return err_set(
			err, errnum,
			"userns: no further user namespace is allowed: raise sysctl "
			"user.max_user_namespaces (inside another vsandbox it is 0 on purpose)");
	if (sysctl_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		return err_set(
			err, errnum,
			"userns: AppArmor restricts unprivileged user namespaces: install the "
			"profile that comes with vsandbox, or sysctl "
			"kernel.apparmor_restrict_unprivileged_userns=0");
	if (errnum == ENOSYS)
		return err_set(
			err, errnum,
			"userns: clone3 is not available (Linux 5.7 is needed; some container "
			"profiles hide it: allow clone3 and user namespaces there)");
	return err_sys(err, errnum,
		       "userns: cannot make the namespaces (in a chroot the kernel refuses them: "
		       "pivot_root into it instead; a container's seccomp profile may "
		       "forbid it: allow clone with CLONE_NEW*)");
}

static int write_map(pid_t pid, const char *file)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	static const char full[] = "0 0 4294967295\n";
	if (fd < 0 || write(fd, full, sizeof(full) - 1) < 0)
		return -errno;
	return 0;
}

/*
 * Root's map is the whole identity: with a single number mapped, files of all
 * others could not be created, changed or given away.
 */
static int map_root(pid_t pid, int gate, struct err *err)
{
	int rc = write_map(pid, "uid_map");
	if (rc == 0)
		rc = write_map(pid, "gid_map");
	if (rc < 0)
		return err_sys(err, -rc, "userns: cannot map the users");
	char permit = PERMIT_MAPPED;
	if (write(gate, &permit, 1) != 1)
		return err_sys(err, errno, "box: init died at once");
	return 0;
}

/*
 * Host directories without an overlay into @ret, each entry owned. A link in the name of one is followed
 * before anything inside could move it.
 */
static int fill_direct(const struct box_plan *plan, const char **ret, struct err *err)
{
	const struct policy_patterns *list = &plan->policy->direct;
	unsigned n = 0;
	for (unsigned i = 0; i < list->count; i++) {
		char path[PATH_MAX];
		struct stat st;
		const char *text = list->items[i].pattern.text;
		if (!pattern_as_mount(&list->items[i].pattern, path, sizeof(path)))
			return err_set(
				err, EINVAL,
				"filesystem.direct: \"%s\" is a pattern: each directory is named "
				"by its path",
				text);
		char *real = realpath(path, NULL);
		if (!real || stat(real, &st) < 0)
			return err_sys(err, errno, "filesystem.direct: %s", path);
		ret[n++] = real;
		if (!S_ISDIR(st.st_mode))
			return err_set(err, ENOTDIR, "filesystem.direct: %s is no directory", path);
		if (plan->rootfs && !path_is_within(real, plan->workspace))
			return err_set(
				err, EINVAL,
				"filesystem.direct: %s is outside of the workspace, all that an "
				"image sees of the host",
				path);
	}
	if (plan->policy->workspace != WORKSPACE_DIRECT)
		return 0;
	ret[n] = strdup(plan->workspace);
	return ret[n] ? 0 : err_sys(err, ENOMEM, "box");
}

/* Directories for the overlay: those the policy names, as far as a mount can say it. */
static int fill_request(const struct box_plan *plan, struct overlay_request *r, struct err *err)
{
	const struct policy *p = plan->policy;
	unsigned room = p->read_only.count + 2;
	const char **read_only = calloc(room, sizeof(*read_only));
	const char **direct = calloc(p->direct.count + 2, sizeof(*direct));
	const char **writable = calloc(5, sizeof(*writable));
	*r = (struct overlay_request){
		.rootfs = plan->rootfs,
		.workspace = plan->workspace,
		.session_dirfd = plan->session_dirfd,
		.session_path = plan->session_path,
		.direct = direct,
		.read_only = read_only,
		.writable = writable,
		.volatile_upper = p->on_exit == ON_EXIT_DISCARD,
	};
	if (!read_only || !direct || !writable)
		return err_sys(err, ENOMEM, "box");
	unsigned n = 0;
	for (unsigned i = 0; i < p->read_only.count; i++) {
		char path[PATH_MAX];
		if (pattern_as_mount(&p->read_only.items[i].pattern, path, sizeof(path)) &&
		    (plan->rootfs || access(path, F_OK) == 0)) {
			read_only[n] = strdup(path);
			if (!read_only[n++])
				return err_sys(err, ENOMEM, "box");
		}
	}
	if (p->workspace == WORKSPACE_READ_ONLY) {
		read_only[n] = strdup(plan->workspace);
		if (!read_only[n])
			return err_sys(err, ENOMEM, "box");
	}
	int rc = fill_direct(plan, direct, err);
	if (rc < 0)
		return rc;
	n = 0;
	writable[n++] = plan->workspace;
	writable[n++] = plan->cwd;
	for (char *const *e = plan->envp; *e && n < 4; e++) {
		if (strncmp(*e, "HOME=/", 6) == 0)
			writable[n++] = *e + 5;
		else if (strncmp(*e, "TMPDIR=/", 8) == 0)
			writable[n++] = *e + 7;
	}
	return 0;
}

static void finish_request(struct overlay_request *r)
{
	const char *const *const owned[] = { r->read_only, r->direct };
	for (unsigned i = 0; i < 2; i++)
		for (const char *const *entry = owned[i]; entry && *entry; entry++) {
			union {
				const char *in;
				char *out;
			} item = { .in = *entry };
			free(item.out);
		}
	union {
		const char *const *in;
		void *out;
	} lists[] = { { .in = r->read_only }, { .in = r->direct }, { .in = r->writable } };
	for (unsigned i = 0; i < 3; i++)
		free(lists[i].out);
	*r = (struct overlay_request){ 0 };
}

/* Waits for the report of init or the agent's task, and for nothing else. */
static int read_gate(const struct box *b, struct gate_report *ret, pid_t *ret_pid, struct err *err)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;
	unsigned reset = 0;
	do
		n = recvmsg(b->gate_fd, &msg, MSG_CMSG_CLOEXEC);
	/* ECONNRESET is told once, before the report: they ended without reading our last permit */
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset++)));
	if (n < 0)
		return err_sys(err, errno, "box: lost the sandbox while starting it");
	if (n != sizeof(*ret))
		return err_set(err, ECHILD,
			       "box: the sandbox's first process died while it was being built "
			       "(out of memory, or killed?)");
	ret->text[sizeof(ret->text) - 1] = '\0';
	if (ret->type != GATE_READY)
		return err_set(err, ret->value > 0 ? ret->value : EIO, "%s", ret->text);
	/* the kernel tells the sender's number as we see it */
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return err_set(err, EPROTO, "box: no credentials with the agent's report");
	struct ucred cred;
	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	*ret_pid = cred.pid;
	return 0;
}

int box_await(struct box *b, struct err *err)
{
	struct gate_report report;
	int rc = read_gate(b, &report, &b->agent_pid, err);
	if (rc < 0)
		return rc;
	b->degraded |= report.degraded;
	b->agent_pidfd = (int)syscall(SYS_pidfd_open, b->agent_pid, 0);
	if (b->agent_pidfd < 0)
		return err_sys(err, errno, "notify: the agent's task is gone");
	b->listener_fd = (int)syscall(SYS_pidfd_getfd, b->agent_pidfd, report.value, 0);
	if (b->listener_fd < 0 && errno == EPERM)
		return err_set(err, EPERM,
			       "notify: taking the listener over is not permitted: sysctl "
			       "kernel.yama.ptrace_scope must be below 3, and a container needs "
			       "CAP_SYS_PTRACE");
	if (b->listener_fd < 0)
		return err_sys(err, errno, "notify: cannot take the listener over");
	if (fcntl(b->listener_fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, errno, "notify");
	return 0;
}

static int make_sockets(struct box *b, struct box_setup *s, struct err *err)
{
	int control[2], gate[2], on = 1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return err_sys(err, errno, "box: cannot make sockets");
	b->control_fd = control[0];
	s->control = control[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0)
		return err_sys(err, errno, "box: cannot make sockets");
	b->gate_fd = gate[0];
	s->gate = gate[1];
	if (setsockopt(b->gate_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return err_sys(err, errno, "box: cannot make sockets");
	return 0;
}

static int clone_init(struct box_setup *s, struct box *b, struct err *err)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
			 (s->plan->net == NET_HOST ? 0 : CLONE_NEWNET),
		.pidfd = (uint64_t)(uintptr_t)&b->init_pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return explain_clone(errno, err);
	if (pid == 0)
		box_init_main(s);
	b->init_pid = (pid_t)pid;
	return 0;
}

static int start(struct box_setup *s, struct box *b, struct err *err)
{
	const struct box_plan *plan = s->plan;
	int rc = make_sockets(b, s, err);
	if (rc == 0)
		rc = clone_init(s, b, err);
	/* their ends: with a copy left here, an end of file would never come */
	scope_close(&s->control);
	scope_close(&s->gate);
	s->control = s->gate = -1;
	if (rc == 0)
		rc = box_limits_join(b, b->init_pid, err);
	if (rc == 0 && b->overlay.rootful)
		rc = map_root(b->init_pid, b->gate_fd, err);
	if (rc == 0)
		rc = overlay_save(&b->overlay, plan->session_dirfd, err);
	return rc;
}

/* Names below a directory of the host would be found there, before no overlay. */
static int standard_directories(struct err *err)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
			return err_set(err, EISDIR,
				       "box: %s is a directory of the host, through which the "
				       "command could leave the sandbox; redirect it to a file",
				       names[fd]);
	}
	return 0;
}

int box_start(const struct box_plan *plan, struct box *ret, struct err *err)
{
	struct box b = {
		.init_pidfd = -1,
		.control_fd = -1,
		.listener_fd = -1,
		.proc_fd = -1,
		.agent_pidfd = -1,
		.gate_fd = -1,
		.cgroup_parent_fds = { -1, -1, -1, -1 },
		.overlay.detached_fd = -1,
	};
	*ret = b;
	struct box_setup s = { .plan = plan,
			       .box = ret,
			       .filter = filter_of(plan),
			       .gate = -1,
			       .control = -1,
			       .uid = geteuid(),
			       .gid = getegid() };
	sigprocmask(SIG_SETMASK, NULL, &s.sigmask);
	if (snprintf(s.stage, sizeof(s.stage), "%s/root", plan->session_path) >=
	    (int)sizeof(s.stage))
		return err_set(err, ENAMETOOLONG, "box: the session's path is too long");
	ret->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = ret->proc_fd < 0 ? err_sys(err, errno, "box: cannot open /proc") : 0;
	if (rc == 0)
		rc = standard_directories(err);
	if (rc == 0 && plan->net != NET_HOST)
		rc = box_net_inherited(err);
	if (rc == 0 && !plan->read_events)
		rc = reads_check(plan->policy, err);
	if (rc == 0)
		rc = fill_request(plan, &s.request, err);
	if (rc == 0 && mkdirat(plan->session_dirfd, "root", 0700) < 0 && errno != EEXIST)
		rc = err_sys(err, errno, "box: cannot make %s", s.stage);
	if (rc == 0)
		rc = overlay_prepare(&s.request, &ret->overlay, err);
	if (rc == 0)
		rc = box_limits_create(plan, ret, err);
	if (rc == 0)
		rc = start(&s, ret, err);
	finish_request(&s.request);
	if (rc < 0) {
		box_kill(ret);
		box_finish(ret);
	}
	return rc;
}

int box_enter(const struct box_plan *plan, struct box *b, struct err *err)
{
	int network = plan->net == NET_HOST ? 0 : CLONE_NEWNET;
	/* by the agent's task: init is no longer readable, which setns asks for */
	if (setns(b->agent_pidfd, CLONE_NEWUSER | CLONE_NEWNS | network) < 0)
		return err_sys(err, errno, "monitor: cannot enter the sandbox's namespaces");
	int rc = capabilities_of_monitor(b->overlay.rootful, plan, err);
	if (rc < 0)
		return rc;
	if (chdir("/") < 0)
		return err_sys(err, errno, "monitor: cannot enter the new root");
	/* Mustn't be traced or read by anything inside. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, errno, "monitor: cannot hide its memory");
	return 0;
}

int box_release(struct box *b, struct err *err)
{
	char permit = PERMIT_RELEASE;
	if (write(b->gate_fd, &permit, 1) != 1)
		return err_sys(err, errno, "box: the agent's task is gone");
	scope_close(&b->gate_fd);
	b->gate_fd = -1;
	return 0;
}

int box_receive(struct box *b, struct box_message *ret)
{
	struct box_message message;
	ssize_t n;
	do
		n = read(b->control_fd, &message, sizeof(message));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0)
		return 0;
	if (n != sizeof(message))
		return -EPROTO;
	*ret = message;
	return 1;
}

int box_signal(struct box *b, int signum)
{
	int32_t message = signum;
	if (send(b->control_fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

void box_end(struct box *b)
{
	if (b->init_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, b->init_pidfd, SIGKILL, NULL, 0);
}

void box_kill(struct box *b)
{
	box_end(b);
	if (b->init_pidfd >= 0) {
		/* the namespace is empty when its first process can be waited for */
		siginfo_t info;
		int rc;
		do
			rc = waitid(P_PIDFD, (id_t)b->init_pidfd, &info, WEXITED);
		while (rc < 0 && errno == EINTR);
		scope_close(&b->init_pidfd);
		b->init_pidfd = -1;
	}
	box_limits_remove(b);
}

void box_finish(struct box *b)
{
	int *const fds[] = { &b->init_pidfd, &b->control_fd,  &b->listener_fd,
			     &b->proc_fd,    &b->agent_pidfd, &b->gate_fd };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		scope_close(fds[i]);
		*fds[i] = -1;
	}
	overlay_finish(&b->overlay);
}
