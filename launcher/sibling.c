#include "launcher/sibling.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/kernel.h"
#include "base/scope.h"

enum { ARGS_MAX = 64, FD_FIRST = 3 };

/* Beside us, as in the build tree; else where `make install` puts it. */
int sibling_path(const char *name, char path[static PATH_MAX], struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		if (snprintf(path, PATH_MAX, "%s/vsandbox-%s", self, name) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return 0;
	}
	snprintf(path, PATH_MAX, "%s/vsandbox-%s", VSANDBOX_LIBEXEC, name);
	if (access(path, X_OK) == 0)
		return 0;
	return err_sys(err, errno, "cannot find vsandbox-%s, neither beside this program nor as %s",
		       name, path);
}

/* Should leave the program with what it was given, and no signal blocked or ignored by us. */
_Noreturn static void become(const char *path, char *const *argv, const int *fds, int out)
{
	static char lc[] = "LC_ALL=C.UTF-8", tz[] = "TZ=UTC";
	char *const envp[] = { lc, tz, NULL };
	sigset_t none;
	int moved[SIBLING_FDS_MAX], count = 0;
	/* out of the way first: one of them may have the number another is to get */
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int result = fcntl(out, F_DUPFD_CLOEXEC, 32);
	for (; fds[count] >= 0; count++) {
		moved[count] = fcntl(fds[count], F_DUPFD_CLOEXEC, 32);
		if (moved[count] < 0)
			_exit(125);
	}
	if (in < 0 || result < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(result, STDOUT_FILENO) < 0)
		_exit(125);
	for (int i = 0; i < count; i++)
		if (dup2(moved[i], FD_FIRST + i) < 0)
			_exit(125);
	close_range((unsigned)(FD_FIRST + count), ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execve(path, argv, envp);
	_exit(126);
}

static int read_lines(int fd, int (*line)(char *text, void *arg), void *arg, struct err *err)
{
	cleanup_file FILE *f = fdopen(fd, "re");
	cleanup_free char *text = f ? malloc(SIBLING_LINE_MAX) : NULL;
	if (!text) {
		if (!f)
			close(fd);
		return err_sys(err, ENOMEM, "cannot read the answer");
	}
	int rc = 0;
	while (rc == 0 && fgets(text, SIBLING_LINE_MAX, f)) {
		size_t len = strlen(text);
		if (len == 0 || text[len - 1] != '\n')
			return err_set(err, EPROTO, "its answer is cut off or too long");
		text[len - 1] = '\0';
		rc = line(text, arg);
	}
	return rc;
}

/* A program to be started, with its arguments as execve(2) wants them. */
struct command {
	char path[PATH_MAX], title[64];
	union {
		const char *in;
		char *out;
	} argv[ARGS_MAX];
	char *list[ARGS_MAX];
};

static int command_init(struct command *c, const char *name, const char *const *args,
			struct err *err)
{
	unsigned count = 0;
	int rc = sibling_path(name, c->path, err);
	if (rc < 0)
		return rc;
	snprintf(c->title, sizeof(c->title), "vsandbox-%s", name);
	c->list[count++] = c->title;
	for (; *args && count < ARGS_MAX - 1; args++) {
		c->argv[count].in = *args; /* execve(2) does not write to them */
		c->list[count] = c->argv[count].out;
		count++;
	}
	c->list[count] = NULL;
	return 0;
}

int sibling_run(const char *name, const char *const *args, const int *fds,
		int (*line)(char *text, void *arg), void *arg, struct err *err)
{
	struct command c;
	int out[2], status = 0;
	int rc = command_init(&c, name, args, err);
	if (rc < 0)
		return rc;
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(err, errno, "cannot start %s", c.title);
	pid_t pid = fork();
	if (pid == 0)
		become(c.path, c.list, fds, out[1]);
	int errnum = errno;
	close(out[1]);
	if (pid < 0) {
		close(out[0]);
		return err_sys(err, errnum, "cannot start %s", c.title);
	}
	rc = read_lines(out[0], line, arg, err);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc != 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return rc;
	if (WIFSIGNALED(status))
		return err_set(err, ECHILD, "%s was ended by signal %d", c.title, WTERMSIG(status));
	return err_set(err, ECHILD, "%s failed without saying why (exit code %d)", c.title,
		       WEXITSTATUS(status));
}

/* The child between: its own child is nobody's, and holds neither terminal nor directory of ours. */
_Noreturn static void detach(const struct command *c, const int *fds)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || setsid() < 0 || chdir("/") < 0)
		_exit(125);
	pid_t pid = fork();
	if (pid != 0)
		_exit(pid < 0 ? 125 : 0);
	if (dup2(null, STDERR_FILENO) < 0)
		_exit(125);
	become(c->path, c->list, fds, null);
}

int sibling_spawn(const char *name, const char *const *args, const int *fds, struct err *err)
{
	struct command c;
	int status = 0;
	int rc = command_init(&c, name, args, err);
	if (rc < 0)
		return rc;
	pid_t pid = fork();
	if (pid == 0)
		detach(&c, fds);
	if (pid < 0)
		return err_sys(err, errno, "cannot start %s", c.title);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : err_set(err, ECHILD, "cannot start %s", c.title);
}

int sibling_become(const char *name, const char *const *args, struct err *err)
{
	struct command c;
	int rc = command_init(&c, name, args, err);
	if (rc < 0)
		return rc;
	execve(c.path, c.list, environ);
	return err_sys(err, errno, "cannot start %s", c.title);
}
