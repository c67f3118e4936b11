/* The agent's task, from its fork by init to its execve. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/box_private.h"

_Noreturn void box_gate_fail(const struct box_setup *s, int rc, const struct err *err)
{
	struct gate_report report = { .type = GATE_FAILED, .value = -rc };
	snprintf(report.text, sizeof(report.text), "%s", err->text);
	if (write(s->gate, &report, sizeof(report)) < 0)
		_exit(126);
	_exit(125);
}

static const char *path_of(char *const *envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

/* 0, or why this file cannot be the command. */
static int is_command(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	return 0;
}

/* As execvp(3) would, but once and before the filter: the monitor then sees one execve. */
static int find_command(const struct box_plan *plan, char *ret, size_t size)
{
	const char *name = plan->argv[0];
	if (!name || !*name)
		return -ENOENT;
	if (strchr(name, '/')) {
		snprintf(ret, size, "%s", name);
		return is_command(ret);
	}
	int found = -ENOENT;
	const char *p = path_of(plan->envp);
	for (;;) {
		int len = (int)strcspn(p, ":");
		int n = snprintf(ret, size, "%.*s%s%s", len, p, len ? "/" : "", name);
		if (n > 0 && (size_t)n < size) {
			int rc = is_command(ret);
			if (rc == 0)
				return 0;
			/* there, but no program; a directory we may not search says nothing */
			if (rc == -EACCES && faccessat(AT_FDCWD, ret, F_OK, AT_EACCESS) == 0)
				found = rc;
		}
		if (!p[len])
			return found;
		p += len + 1;
	}
}

/* Should leave the filter's number in no doubt: the listener, or why there is none. */
static int load_filter(const struct filter *filter, struct err *err)
{
	struct sock_fprog program = { .len = filter->len };
	memcpy(&program.filter, &filter->insns, sizeof(program.filter)); /* only read from */
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			  &program);
	if (fd >= 0)
		return (int)fd;
	int errnum = errno;
	if (errnum == EBUSY)
		return err_set(
			err, errnum,
			"notify: another supervisor already listens to this process (a vsandbox "
			"around this one, or a container runtime whose seccomp profile "
			"notifies): run outside of it, or have its profile drop "
			"SCMP_ACT_NOTIFY");
	if (errnum == EINVAL)
		return err_set(err, errnum,
			       "notify: the kernel refuses the filter or WAIT_KILLABLE_RECV: Linux "
			       "5.19 or newer is needed");
	return err_sys(err, errnum, "notify: cannot load the filter");
}

static char wait_permit(const struct box_setup *s)
{
	char permit = 0;
	ssize_t n;
	do
		n = read(s->gate, &permit, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(125); /* the monitor is gone */
	return permit;
}

static int close_between(int first, int last)
{
	return first > last ? 0 : close_range((unsigned)first, (unsigned)last, 0);
}

/*
 * Of the builder's descriptors, which are as many as the host has mounts, only the two to its supervisors
 * are kept: what follows opens some under the agent's own limit.
 */
static int close_inherited(const struct box_setup *s)
{
	int low = s->gate < s->control ? s->gate : s->control;
	int high = s->gate < s->control ? s->control : s->gate;
	if (close_between(3, low - 1) < 0 || close_between(low + 1, high - 1) < 0 ||
	    close_between(high + 1, INT_MAX) < 0)
		return -errno;
	return 0;
}

static int confine(struct box_setup *s, struct err *err)
{
	const struct box_plan *plan = s->plan;
	if (chdir(plan->cwd) < 0)
		return err_sys(err, errno, "box: cannot enter the working directory %s inside",
			       plan->cwd);
	int rc = close_inherited(s);
	if (rc < 0)
		return err_sys(err, -rc, "box: cannot close descriptors");
	rc = box_limits_rlimits(plan, err);
	if (rc < 0)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "box: cannot set no_new_privs");
	/* Should come before the capabilities go: some kernels want them for what it opens. */
	rc = landlock_fence(plan, &s->degraded, err);
	if (rc < 0)
		return rc;
	return capabilities_of_agent(s->box->overlay.rootful, err);
}

_Noreturn void box_agent_main(struct box_setup *s)
{
	struct err err = { 0 };
	char command[PATH_MAX];
	int rc = confine(s, &err);
	if (rc < 0)
		box_gate_fail(s, rc, &err);
	int lookup = find_command(s->plan, command, sizeof(command));
	/* Mustn't hand anything but stdin, stdout and stderr to the agent. */
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		box_gate_fail(s, -errno, &(struct err){ "box: cannot close descriptors" });
	sigprocmask(SIG_SETMASK, &s->sigmask, NULL);

	struct gate_report report = { .type = GATE_READY, .degraded = s->degraded };
	int listener = load_filter(s->filter, &err);
	if (listener < 0)
		box_gate_fail(s, listener, &err);
	/* From here on every call but read, write, close and exit_group may be notified. */
	report.value = listener;
	if (write(s->gate, &report, sizeof(report)) != sizeof(report) ||
	    wait_permit(s) != PERMIT_RELEASE)
		_exit(125);
	/* Mustn't keep a copy: were the monitor to die from here on, calls would hang instead of failing. */
	close(listener);
	if (lookup == 0) {
		execve(command, s->plan->argv, s->plan->envp);
		lookup = -errno;
	}
	struct box_message message = { .type = BOX_MESSAGE_EXEC_FAILED, .status = -lookup };
	if (write(s->control, &message, sizeof(message)) < 0)
		_exit(125);
	_exit(lookup == -ENOENT ? 127 : 126);
}
