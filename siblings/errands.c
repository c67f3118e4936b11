/*
 * vsandbox-errands: the first program of a CI job's sandbox. It listens on the socket that is its stdin and
 * carries out the errands that come over it, one child each, until one says that it is the last.
 *
 *   vsandbox-errands [NAME TARGET]...   each NAME is made a symbolic link to TARGET first
 *
 * Theory of operation. It runs inside, as the job's user, and is trusted with nothing: whoever sends errands
 * sits on the host, and learns no more from it than a wait status. For each errand a child is forked (the
 * minder), which forks the command in a process group of its own and waits for either's end: the command's, whose status it
 * sends, or the connection's, upon which it kills the command's process group.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/errand.h"
#include "base/scope.h"

enum { SCRIPT_NAME_SIZE = 64 };

static void say(const char *what, const char *which)
{
	dprintf(STDERR_FILENO, "vsandbox-errands: %s%s%s: %s\n", what, *which ? " " : "", which,
		strerrordesc_np(errno));
}

static void put_back(const char *path)
{
	if (*path)
		unlink(path);
}

/* The script as a file, for its interpreter to read it as it comes to each line. */
static int write_script(const struct errand *e, char path[static SCRIPT_NAME_SIZE])
{
	strcpy(path, "/tmp/vsandbox-script-XXXXXX");
	cleanup_fd int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		*path = '\0';
		return -errno;
	}
	for (size_t done = 0; done < e->script_len;) {
		ssize_t n = write(fd, e->script + done, e->script_len - done);
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return fchmod(fd, 0700) < 0 ? -errno : 0;
}

_Noreturn static void become(struct errand *e, char *script)
{
	sigset_t none;
	sigemptyset(&none);
	size_t last = 0;
	while (e->argv[last + 1])
		last++;
	if (e->script) {
		/* the last word stands for the script */
		char **argv = (char **)(uintptr_t)e->argv;
		argv[last] = script;
	}
	int in = fcntl(e->fds[0], F_DUPFD_CLOEXEC, 32), out = fcntl(e->fds[1], F_DUPFD_CLOEXEC, 32),
	    errors = fcntl(e->fds[2], F_DUPFD_CLOEXEC, 32);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0)
		_exit(125);
	close_range(3, ~0U, 0);
	setpgid(0, 0);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	if (chdir(e->cwd) < 0) {
		say("cannot enter", e->cwd);
		_exit(125);
	}
	/* the command is looked up in its own PATH, not in ours */
	environ = (char **)(uintptr_t)e->envp;
	execvp(e->argv[0], e->argv);
	int errnum = errno;
	say("cannot run", e->argv[0]);
	_exit(errnum == ENOENT ? 127 : 126);
}

static void pass_signal(pid_t pid, int signum)
{
	if (signum > 0 && signum < NSIG)
		kill(-pid, signum);
}

/* Until the command has ended or nobody listens any more. Returns whether @ret_status is known. */
static bool mind(int sock, int signal_fd, pid_t pid, int *ret_status)
{
	struct pollfd polls[] = { { .fd = signal_fd, .events = POLLIN },
				  { .fd = sock, .events = POLLIN } };
	for (;;) {
		if (poll(polls, 2, -1) < 0)
			continue;
		struct signalfd_siginfo info;
		if (polls[0].revents && read(signal_fd, &info, sizeof(info)) > 0 &&
		    waitpid(pid, ret_status, WNOHANG) == pid)
			return true;
		unsigned char signum;
		ssize_t n = polls[1].revents ? recv(sock, &signum, 1, MSG_DONTWAIT) : -1;
		if (n == 1)
			pass_signal(pid, signum);
		else if (n == 0 || (polls[1].revents && errno != EAGAIN && errno != EINTR))
			return false;
	}
}

_Noreturn static void carry_out(int sock, struct errand *e)
{
	char script[SCRIPT_NAME_SIZE] = "";
	int status = 125 << 8;
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	signal(SIGCHLD, SIG_DFL);
	cleanup_fd int signal_fd = signalfd(-1, &chld, SFD_CLOEXEC);
	int r = e->script ? write_script(e, script) : 0;
	pid_t pid = r < 0 || signal_fd < 0 ? -1 : fork();
	if (pid == 0)
		become(e, script);
	if (pid > 0)
		setpgid(pid,
			pid); /* here too: a signal may be to be passed on before it got there itself */
	bool known = true;
	if (pid < 0)
		dprintf(e->fds[2], "vsandbox-errands: the command cannot be started\n");
	else
		known = mind(sock, signal_fd, pid, &status);
	if (!known)
		kill(-pid, SIGKILL);
	put_back(script);
	if (known && send(sock, &status, sizeof(status), MSG_NOSIGNAL) != sizeof(status))
		_exit(1);
	_exit(0);
}

static void close_fds(const struct errand *e)
{
	for (int i = 0; i < 3; i++)
		if (e->fds[i] >= 0)
			close(e->fds[i]);
}

/* False when this was the last. */
static bool take(int sock)
{
	struct errand e;
	void *text;
	int r = errand_receive(sock, &e, &text);
	bool last = r == 0 && !e.argv[0];
	if (r == 0 && !last && fork() == 0) {
		close(STDIN_FILENO);
		carry_out(sock, &e);
	}
	close_fds(&e);
	free(text);
	return !last;
}

/*
 * The directory of @path, with write permission for us when it is ours and lacks it, as `/` does for an ordinary
 * user. @ret_mode gets what it had; 0: nothing was changed.
 */
static void open_up(const char *path, char parent[static PATH_MAX], mode_t *ret_mode)
{
	struct stat st;
	snprintf(parent, PATH_MAX, "%.*s", (int)(strrchr(path, '/') - path), path);
	if (!*parent)
		strcpy(parent, "/");
	*ret_mode = 0;
	if (stat(parent, &st) == 0 && access(parent, W_OK) < 0 && st.st_uid == geteuid() &&
	    chmod(parent, (st.st_mode & 07777) | 0200) == 0)
		*ret_mode = st.st_mode & 07777;
}

/* @target NULL: a directory, which may be there; else a link. */
static int make_name(const char *path, const char *target)
{
	char parent[PATH_MAX];
	mode_t mode;
	open_up(path, parent, &mode);
	int r = target ? symlink(target, path) : mkdir(path, 0755);
	int errnum = r < 0 ? errno : 0;
	if (mode && chmod(parent, mode) < 0)
		say("cannot close again", parent);
	errno = errnum;
	return errnum && (target || errnum != EEXIST) ? -errnum : 0;
}

static int make_links(char *const *argv)
{
	for (; argv[0] && argv[1]; argv += 2) {
		char part[PATH_MAX];
		int r = *argv[0] == '/' && strlen(argv[0]) < sizeof(part) ? 0 : -EINVAL;
		snprintf(part, sizeof(part), "%s", argv[0]);
		for (char *slash = strchr(part + 1, '/'); r == 0 && slash;
		     slash = strchr(slash + 1, '/')) {
			*slash = '\0';
			r = make_name(part, NULL);
			*slash = '/';
		}
		if (r == 0)
			r = make_name(argv[0], argv[1]);
		if (r < 0) {
			errno = -r;
			say("cannot make the link", argv[0]);
			return r;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	/* What is forked here is minders: nobody waits for them. */
	signal(SIGCHLD, SIG_IGN);
	if (argc < 1 || make_links(argv + 1) < 0)
		return 125;
	for (bool more = true; more;) {
		cleanup_fd int sock = accept4(STDIN_FILENO, NULL, NULL, SOCK_CLOEXEC);
		if (sock < 0 && errno != EINTR && errno != ECONNABORTED) {
			say("cannot take errands", "");
			return 125;
		}
		more = sock < 0 || take(sock);
	}
	return 0;
}
