/* What stands beside files: /proc and /dev, FIFOs, locks, events, programs, sockets. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "transcript.h"

static void proc(void)
{
	char text[256] = "", path[64];
	int fds[2], fd;

	section("/proc, /dev");
	say(readlink("/proc/self", text, sizeof(text) - 1) > 0 && strtol(text, NULL, 10) == getpid()
		    ? 0
		    : -1,
	    "/proc/self is us");
	SHUT(open("/proc/self/status", O_RDONLY));
	SHUT(open("/proc/self/maps", O_RDONLY));
	SHUT(open("/proc/self/exe", O_RDONLY));
	SHUT(open("/proc/self/exe", O_WRONLY));
	SHUT(open("/proc/thread-self/comm", O_RDWR));
	fd = open("/proc/self/comm", O_WRONLY);
	TRY(write(fd, "renamed", 7));
	shut(fd);
	get("/proc/self/comm");
	SHUT(open("/proc/self/oom_score_adj", O_WRONLY));
	SHUT(open("/proc/self/cwd", O_RDONLY));
	SHUT(open("/proc/self/cwd/file", O_RDWR));
	SHUT(open("/proc/self/root/dev/null", O_RDWR));
	SHUT(open("/proc/self/nonexistent", O_RDONLY));
	SHUT(open("/proc/self/newfile", O_WRONLY | O_CREAT, 0600));
	SHUT(open("/proc/self/fd/77", O_RDONLY));
	fd = open("file", O_RDONLY);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	say(open(path, O_RDWR), "reopen read-write by /dev/fd");
	close(fd + 1);
	shut(fd);
	if (pipe(fds) == 0) {
		snprintf(path, sizeof(path), "/dev/fd/%d", fds[1]);
		fd = (int)say(open(path, O_WRONLY), "pipe by /dev/fd");
		TRY(write(fd, "pipe", 4));
		memset(text, 0, sizeof(text));
		TRY(read(fds[0], text, 10));
		puts(text);
		shut(fd);
		close(fds[0]);
		close(fds[1]);
	}
	SHUT(open("/dev/stdin", O_RDONLY));
	SHUT(open("/dev/null", O_RDWR));
	SHUT(open("/dev/zero", O_RDWR));
	SHUT(open("/dev/full", O_WRONLY));
	SHUT(open("/dev/urandom", O_RDONLY));
	SHUT(open("/dev/tty", O_RDWR));
	fd = open("/dev/full", O_WRONLY);
	TRY(write(fd, "x", 1));
	shut(fd);
	fd = (int)TRY(posix_openpt(O_RDWR | O_NOCTTY));
	TRY(grantpt(fd));
	TRY(unlockpt(fd));
	say(open(ptsname(fd) ? ptsname(fd) : "", O_RDWR | O_NOCTTY), "open the pty's other end");
	close(fd + 1);
	shut(fd);
	fd = shm_open("/vsb-fidelity", O_RDWR | O_CREAT | O_EXCL, 0600);
	say(fd, "shm_open");
	TRY(shm_unlink("/vsb-fidelity"));
	shut(fd);
}

static void *fifo_reader(void *arg)
{
	char text[16] = "";
	int fd = open(arg, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		snprintf(text, sizeof(text), "error %d", errno);
	shut(fd);
	return strdup(text);
}

static void fifo(void)
{
	pthread_t t;
	void *answer = NULL;
	int fd;

	section("fifo");
	TRY(mkfifo("ff", 0600));
	pthread_create(&t, NULL, fifo_reader, (void *)"ff");
	fd = (int)TRY(open("ff", O_WRONLY));
	TRY(write(fd, "through", 7));
	shut(fd);
	pthread_join(t, &answer);
	printf("reader got: %s\n", (char *)answer);
	free(answer);
}

/* More at once than anybody has threads to spare; what ends each wait is an open that comes after all of them. */
static void many_fifos(void)
{
	enum { MANY = 40 };
	pthread_t t[MANY];
	char name[MANY][8];
	int through = 0;

	section("many fifos");
	for (int i = 0; i < MANY; i++) {
		snprintf(name[i], sizeof(name[i]), "ff%d", i);
		if (mkfifo(name[i], 0600) != 0)
			perror("mkfifo");
		pthread_create(&t[i], NULL, fifo_reader, name[i]);
	}
	usleep(300000);
	for (int i = 0; i < MANY; i++) {
		void *answer = NULL;
		int fd = open(name[i], O_WRONLY);

		if (fd < 0 || write(fd, "through", 7) != 7)
			perror("write");
		shut(fd);
		pthread_join(t[i], &answer);
		through += answer && !strcmp(answer, "through");
		free(answer);
	}
	printf("%d went through\n", through);
}

static int count_inotify(int fd, uint32_t mask)
{
	char buffer[4096] __attribute__((aligned(8)));
	ssize_t n;
	int hits = 0;

	while (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 100) > 0 &&
	       (n = read(fd, buffer, sizeof(buffer))) > 0)
		for (char *p = buffer; p < buffer + n;) {
			struct inotify_event *e = (void *)p;

			hits += !!(e->mask & mask);
			p += sizeof(*e) + e->len;
		}
	return hits;
}

static void locks_and_events(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int a, b, watch;

	section("locks, leases, inotify, mmap");
	put("lock", "lock");
	a = open("lock", O_RDWR);
	b = open("lock", O_RDWR);
	TRY(flock(a, LOCK_EX | LOCK_NB));
	TRY(flock(b, LOCK_EX | LOCK_NB));
	TRY(fcntl(a, F_SETLK, &lock));
	if (fork() == 0) {
		int c = open("lock", O_RDWR);

		TRY(fcntl(c, F_SETLK, &lock));
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	shut(a);
	shut(b);
	a = open("lock", O_RDONLY);
	TRY(fcntl(a, F_SETLEASE, F_RDLCK));
	TRY(fcntl(a, F_SETLEASE, F_UNLCK));
	shut(a);
	a = open("lock", O_RDWR);
	TRY(fcntl(a, F_SETLEASE, F_WRLCK)); /* fails with EAGAIN when somebody else holds it open */
	shut(a);
	watch = inotify_init1(IN_CLOEXEC);
	TRY(inotify_add_watch(watch, ".", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
	put("seen", "1");
	rename("seen", "seen2");
	unlink("seen2");
	printf("inotify: created+deleted+moved %d\n",
	       count_inotify(watch, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
	shut(watch);
	a = open("lock", O_RDWR);
	char *p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	if (p == MAP_FAILED) {
		say(-1, "mmap");
	} else {
		memcpy(p, "LOCK", 4);
		munmap(p, 4);
	}
	shut(a);
	get("lock");
}

static void later_writes(void)
{
	int a, b;

	section("a read-only fd sees later writes");
	a = open("found/shared", O_RDONLY);
	b = open("found/shared", O_WRONLY);
	TRY(write(b, "new", 3));
	char text[16] = "";
	TRY(pread(a, text, 3, 0));
	puts(text); /* overlay: a lower file opened before copy-up shows the old bytes */
	shut(a);
	shut(b);
}

/* A program that was just written is run at once, again and again. */
static void run_copies(void)
{
	int fd, status;
	char buffer[65536];
	ssize_t n;
	int self;

	section("exec");
	self = open("/proc/self/exe", O_RDONLY);
	for (int i = 0; i < 20; i++) {
		fd = open("prog", O_WRONLY | O_CREAT | O_TRUNC, 0755);
		lseek(self, 0, SEEK_SET);
		while ((n = read(self, buffer, sizeof(buffer))) > 0)
			if (write(fd, buffer, (size_t)n) != n)
				say(-1, "copy");
		close(fd);
		if (fork() == 0) {
			execl("./prog", "prog", "--exit", (char *)NULL);
			printf("exec %d: %s\n", i, strerrorname_np(errno));
			fflush(stdout);
			_exit(1);
		}
		wait(&status);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
			printf("exec %d: status %x\n", i, status);
		unlink("prog");
	}
	shut(self);
}

static void exec(void)
{
	int fd, status;

	put("script", "#!/bin/sh\nexit 9\n");
	fflush(stdout);
#define EXEC(path, ...) \
	do { \
		if (fork() == 0) { \
			execl(path, path, ##__VA_ARGS__, (char *)NULL); \
			printf("exec %s: %s\n", path, strerrorname_np(errno)); \
			fflush(stdout); \
			_exit(1); \
		} \
		wait(&status); \
		printf("exec %s: status %x\n", path, status); \
		fflush(stdout); \
	} while (0)
	EXEC("./script");
	chmod("script", 0755);
	EXEC("./script");
	put("badinterp", "#!/nonexistent/interp\n");
	chmod("badinterp", 0755);
	EXEC("./badinterp");
	put("noformat", "just text");
	chmod("noformat", 0755);
	EXEC("./noformat");
	put("chain", "#!./script\n");
	chmod("chain", 0755);
	EXEC("./chain");
	EXEC("./dir");
	EXEC("./absent");
	EXEC("./file/x");
	EXEC("");
	EXEC("/bin/true");
	EXEC("/bin/sh", "-c", "exit 3");
	EXEC("/bin/sh", "-c", "kill -9 $$");
	TRY(symlink("/bin/false", "false-link"));
	EXEC("./false-link");
	fd = open("/bin/true", O_PATH);
	if (fork() == 0) {
		char *const argv[] = { (char *)"true", NULL };

		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		printf("execveat: %s\n", strerrorname_np(errno));
		fflush(stdout);
		_exit(1);
	}
	wait(&status);
	printf("execveat: %x\n", status);
	shut(fd);
	fd = open("busy", O_WRONLY | O_CREAT, 0755);
	TRY(write(fd, "#!/bin/sh\n", 10));
	EXEC("./busy");
	shut(fd);
}

static void unix_sockets(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "listening" };
	int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);

	section("own unix sockets");
	TRY(bind(a, (struct sockaddr *)&sa, sizeof(sa)));
	look("listening");
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	TRY(listen(a, 1));
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	shut(a);
	shut(b);
	b = socket(AF_UNIX, SOCK_STREAM, 0);
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	strcpy(sa.sun_path, "absent-socket");
	TRY(connect(b, (struct sockaddr *)&sa, sizeof(sa)));
	shut(b);
}

/* Whoever answers an open may move its caller about, but not so that the caller or its children notice. */
static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
}

static void stays_where_it_may_run(void)
{
	int all = processors(), fewer = 0, children = 0, status;

	section("processors");
	for (int i = 0; i < 3000; i++) {
		int fd = open("file", O_RDONLY);

		fewer += processors() != all;
		shut(fd);
	}
	say(fewer, "opens after which there were fewer");
	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 4; k++)
			shut(open("file", O_RDONLY));
		pid_t child = fork();
		if (child == 0) {
			usleep(500);
			_exit(processors() != all);
		}
		children += waitpid(child, &status, 0) == child && status != 0;
	}
	say(children, "children with fewer");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 42;
	begin();
	proc();
	fifo();
	many_fifos();
	locks_and_events();
	later_writes();
	run_copies();
	exec();
	unix_sockets();
	stays_where_it_may_run();
	return 0;
}
