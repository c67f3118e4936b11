#include "launcher/ci/job.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/session_end.h"
#include "launcher/sibling.h"
#include "launcher/verb.h"
#include "sandbox/box.h"

enum {
	START_MS = 60000, /* until the sandbox runs */
	END_MS = 5000,    /* until it has ended after its last errand */
	POLL_MS = 5,
	STATUS_SIZE = 4096,
	RUN_WORDS_MAX = 512,
};

static int open_jobs(struct err *err)
{
	char path[STATE_PATH_SIZE];
	cleanup_fd int state = state_open(path, err);
	return state < 0 ? state : state_subdir(state, "ci", err);
}

int ci_job_create(const char *kind, struct ci_job *ret, struct err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char random[12];
	char tail[sizeof(random) + 1] = "";
	*ret = (struct ci_job){ .dirfd = -1 };
	cleanup_fd int jobs = open_jobs(err);
	if (jobs < 0)
		return jobs;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(err, errno, "no random name for the job");
	for (size_t i = 0; i < sizeof(random); i++)
		tail[i] = letters[random[i] % 32];
	snprintf(ret->name, sizeof(ret->name), "%.16s-%s", kind, tail);
	if (mkdirat(jobs, ret->name, 0700) < 0)
		return err_sys(err, errno, "cannot make the job's directory");
	ret->dirfd = openat(jobs, ret->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ret->record = json_object_new_object();
	if (ret->dirfd < 0 || !ret->record)
		return err_sys(err, errno, "cannot open the job's directory");
	return 0;
}

int ci_job_open(const char *name, struct ci_job *ret, struct err *err)
{
	*ret = (struct ci_job){ .dirfd = -1 };
	cleanup_fd int jobs = open_jobs(err);
	if (jobs < 0)
		return jobs;
	if (!*name || strlen(name) >= sizeof(ret->name) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz234567-") != strlen(name))
		return err_set(err, EINVAL, "'%.40s' is no job", name);
	strcpy(ret->name, name);
	ret->dirfd = openat(jobs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->dirfd < 0)
		return err_sys(err, errno, "job %s", name);
	cleanup_fd int fd = openat(ret->dirfd, "job.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ret->record = fd < 0 ? NULL : json_object_from_fd(fd);
	if (!json_object_is_type(ret->record, json_type_object)) {
		ci_job_close(ret);
		return err_set(err, EBADMSG, "the record of job %s cannot be read", name);
	}
	return 0;
}

void ci_job_close(struct ci_job *j)
{
	scope_close(&j->dirfd);
	json_object_put(j->record);
	*j = (struct ci_job){ .dirfd = -1 };
}

int ci_job_remove(const struct ci_job *j, struct err *err)
{
	static const char *const files[] = { "job.json", "socket", "log" };
	cleanup_fd int jobs = open_jobs(err);
	if (jobs < 0)
		return jobs;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (unlinkat(j->dirfd, files[i], 0) < 0 && errno != ENOENT)
			return err_sys(err, errno, "job %s: %s", j->name, files[i]);
	return unlinkat(jobs, j->name, AT_REMOVEDIR) < 0 ? err_sys(err, errno, "job %s", j->name)
							 : 0;
}

struct json_object *ci_job_get(const struct ci_job *j, const char *name)
{
	return json_object_object_get(j->record, name);
}

const char *ci_job_text(const struct ci_job *j, const char *name)
{
	struct json_object *o = ci_job_get(j, name);
	return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
}

void ci_job_set(struct ci_job *j, const char *name, struct json_object *value)
{
	json_object_object_add(j->record, name, value);
}

int ci_job_save(struct ci_job *j, struct err *err)
{
	const char *text = json_object_to_json_string(j->record);
	return state_write_file(j->dirfd, "job.json", text, strlen(text), err);
}

/* By way of the directory: the state's path may be longer than a socket's name can be. */
static struct sockaddr_un address_of(const struct ci_job *j)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/socket", j->dirfd);
	return sun;
}

static int listen_for_errands(const struct ci_job *j, struct err *err)
{
	struct sockaddr_un sun = address_of(j);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* an earlier start that failed leaves its own */
	if (unlinkat(j->dirfd, "socket", 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "cannot make the job's socket");
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 64) < 0)
		return err_sys(err, errno, "cannot make the job's socket");
	return take_fd(&fd);
}

/*
 * The keeper: becomes the gateway of the job's sandbox. Mustn't hold the terminal, the runner's pipes or its process
 * group: the runner signals that group when a job is cancelled, and scripts may come after.
 */
_Noreturn static void keep(const struct ci_start *s, const char *errands, int socket_fd, int log_fd,
			   int status_fd)
{
	static struct options options;
	char session[SESSION_ID_SIZE], number[16];
	char *words[RUN_WORDS_MAX], *argv[RUN_WORDS_MAX];
	static char flag[] = "--status-fd", end[] = "--";
	struct err err = { "" };
	size_t n = 0, m = 0;
	if (setsid() < 0 || dup2(socket_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
	    dup2(log_fd, STDERR_FILENO) < 0 || chdir(s->workspace) < 0)
		_exit(EXIT_USAGE);
	snprintf(number, sizeof(number), "%d", status_fd);
	words[n++] = flag;
	words[n++] = number;
	for (char *const *w = s->options; *w && n < RUN_WORDS_MAX - 2; w++)
		words[n++] = *w;
	words[n++] = end;
	words[n] = NULL;
	argv[m++] = (char *)(uintptr_t)errands;
	for (char *const *w = s->links; w && *w && m < RUN_WORDS_MAX - 1; w++)
		argv[m++] = *w;
	argv[m] = NULL;
	if (options_parse(run_options, words, &options, &err) != 0) {
		log_error("%s", err.text);
		_exit(EXIT_USAGE);
	}
	_exit(run_command(&options, argv, session));
}

/* The last line of the gateway's words: why it did not start. */
static void last_words(const struct ci_job *j, char *ret, size_t size)
{
	cleanup_fd int fd = openat(j->dirfd, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : pread(fd, ret, size - 1, 0);
	ret[n > 0 ? n : 0] = '\0';
	size_t len = strlen(ret);
	while (len && ret[len - 1] == '\n')
		ret[--len] = '\0';
	const char *line = strrchr(ret, '\n');
	if (line)
		memmove(ret, line + 1, strlen(line));
}

/* The first line of --status-fd names the session; the end of it says that there is none. */
static int wait_started(struct ci_job *j, int fd, struct err *err)
{
	char line[STATUS_SIZE];
	size_t len = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	while (len < sizeof(line) - 1 && poll(&p, 1, START_MS) > 0) {
		ssize_t n = read(fd, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		line[len] = '\0';
		char *newline = strchr(line, '\n');
		if (!newline)
			continue;
		*newline = '\0';
		struct json_object *o = json_tokener_parse(line), *id = NULL;
		bool named =
			json_object_object_get_ex(o, "session", &id) && strstr(line, "\"started\"");
		if (named)
			ci_job_set(j, "session", json_object_get(id));
		json_object_put(o);
		if (named)
			return ci_job_save(j, err);
		break;
	}
	char why[ERR_TEXT_SIZE / 2];
	last_words(j, why, sizeof(why));
	return err_set(err, ECHILD, "the job's sandbox did not start: %s",
		       *why ? why : "without a word");
}

int ci_job_start(struct ci_job *j, const struct ci_start *s, struct err *err)
{
	char path[PATH_MAX];
	int status[2];
	int r = s->errands ? 0 : sibling_path("errands", path, err);
	if (r < 0)
		return r;
	cleanup_fd int socket_fd = listen_for_errands(j, err);
	if (socket_fd < 0)
		return socket_fd;
	cleanup_fd int log_fd =
		openat(j->dirfd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0 || pipe2(status, O_CLOEXEC) < 0)
		return err_sys(err, errno, "cannot start the job's sandbox");
	cleanup_fd int read_end = status[0];
	cleanup_fd int write_end = status[1];
	pid_t pid = fork();
	if (pid == 0)
		keep(s, s->errands ? s->errands : path, socket_fd, log_fd, write_end);
	if (pid < 0)
		return err_sys(err, errno, "cannot start the job's sandbox");
	scope_close(&write_end);
	write_end = -1;
	return wait_started(j, read_end, err);
}

bool ci_job_started(const struct ci_job *j)
{
	return *ci_job_text(j, "session");
}

static int connect_errands(const struct ci_job *j)
{
	struct sockaddr_un sun = address_of(j);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Why the sandbox went away under an errand. */
static int say_ended(const struct ci_job *j, struct err *err)
{
	struct session s;
	int r = session_find(ci_job_text(j, "session"), &s, err);
	if (r < 0)
		return r;
	for (unsigned waited = 0; s.state == SESSION_RUNNING && waited < END_MS;
	     waited += POLL_MS) {
		nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000 }, NULL);
		session_refresh(&s);
	}
	struct json_object *why = json_object_object_get(s.end, "reason");
	err_set(err, ECONNRESET, "the job's sandbox ended: %s",
		why ? json_object_get_string(why) : session_state_name(s.state));
	session_close(&s);
	return -ECONNRESET;
}

/* Signals to us go in, the wait status comes out. */
static int attend(int sock, int signal_fd, int *ret_status)
{
	struct pollfd polls[] = { { .fd = sock, .events = POLLIN },
				  { .fd = signal_fd, .events = POLLIN } };
	for (;;) {
		struct signalfd_siginfo info;
		if (poll(polls, 2, -1) < 0)
			continue;
		if (polls[1].revents && read(signal_fd, &info, sizeof(info)) > 0) {
			unsigned char signum = (unsigned char)info.ssi_signo;
			if (send(sock, &signum, 1, MSG_NOSIGNAL) < 0)
				return -ECONNRESET;
		}
		if (polls[0].revents)
			return recv(sock, ret_status, sizeof(*ret_status), MSG_WAITALL) ==
					       (ssize_t)sizeof(*ret_status)
				       ? 0
				       : -ECONNRESET;
	}
}

int ci_job_carry(struct ci_job *j, struct errand *e, int *ret_status, struct err *err)
{
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;
	int r = box_net_inherited(err);
	if (r < 0)
		return r;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cleanup_fd int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	cleanup_fd int sock = connect_errands(j);
	if (signal_fd < 0)
		return err_sys(err, errno, "cannot watch for signals");
	if (sock < 0)
		return say_ended(j, err);
	for (int fd = 0; fd < 3; fd++)
		e->fds[fd] = fd;
	r = errand_send(sock, e, err);
	if (r < 0)
		return r;
	return attend(sock, signal_fd, ret_status) < 0 ? say_ended(j, err) : 0;
}

/* The last errand: vsandbox-errands ends, and everything inside with it. */
static void send_last(const struct ci_job *j)
{
	char *const none[] = { NULL };
	const struct errand last = { .cwd = "/", .argv = none, .envp = none, .fds = { 0, 1, 2 } };
	cleanup_fd int sock = connect_errands(j);
	char byte;
	if (sock >= 0 && errand_send(sock, &last, NULL) == 0 && recv(sock, &byte, 1, 0) != 0)
		log_detail("the sandbox did not take its last errand as such, continuing");
}

int ci_job_end(struct ci_job *j, struct session *ret, struct err *err)
{
	if (!ci_job_started(j))
		return err_set(err, ENOENT, "the job had no sandbox");
	int r = session_find(ci_job_text(j, "session"), ret, err);
	if (r < 0)
		return r;
	if (ret->state == SESSION_RUNNING)
		send_last(j);
	for (unsigned waited = 0; ret->state == SESSION_RUNNING && waited < END_MS;
	     waited += POLL_MS) {
		nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000 }, NULL);
		session_refresh(ret);
	}
	if (session_end(ret) != 0) {
		session_close(ret);
		return err_set(err, EBUSY, "the job's sandbox does not end");
	}
	return 0;
}
