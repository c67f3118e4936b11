/*
 * Microseconds per operation, in the current directory. `ops NAME MS` works for MS
 * milliseconds in blocks and prints the median block, so that one bad moment of the
 * machine does not count. `ops files N` makes and removes N files; `ops now` prints
 * the clock and ends: the launcher's exit is timed against it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int listener = -1;
static struct sockaddr_in peer = { .sin_family = AF_INET };

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		fail(name);
	close(fd);
}

static void op_open_read(void)
{
	int fd = open("f", O_RDONLY);

	if (fd < 0)
		fail("open for reading");
	close(fd);
}

static void op_open_write(void)
{
	int fd = open("f", O_WRONLY);

	if (fd < 0)
		fail("open for writing");
	close(fd);
}

static void op_stat(void)
{
	struct stat st;

	if (stat("f", &st) != 0)
		fail("stat");
}

/* Creation is part of it: an unlink needs something to unlink. */
static void op_create_unlink(void)
{
	touch("u");
	if (unlink("u") != 0)
		fail("unlink");
}

/* A file's whole content anew: what the journal must keep, where it has one. */
static void overwrite(const char *name, size_t size)
{
	static char bytes[1 << 20];
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		fail(name);
	close(fd);
}

static void op_overwrite_4k(void)
{
	overwrite("o4k", 4096);
}

static void op_overwrite_1m(void)
{
	overwrite("o1m", 1 << 20);
}

static void op_rename(void)
{
	if (rename("f", "g") != 0 || rename("g", "f") != 0)
		fail("rename");
}

static void op_mkdir_rmdir(void)
{
	if (mkdir("d", 0700) != 0 || rmdir("d") != 0)
		fail("mkdir");
}

static void op_spawn(void)
{
	char *const argv[] = { (char *)"true", NULL };
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0)
		fail("spawn");
	waitpid(pid, NULL, 0);
}

static void op_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), in;

	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0)
		fail("connect");
	in = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	/* A reset instead of TIME_WAIT: ports do not run out. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(fd);
	close(in);
}

static const struct {
	const char *name;
	void (*run)(void);
	int calls; /* policy-relevant calls in one run */
} ops[] = {
	{ "open-read", op_open_read, 1 },
	{ "open-write", op_open_write, 1 },
	{ "stat", op_stat, 1 },
	{ "create-unlink", op_create_unlink, 2 },
	{ "rename", op_rename, 2 },
	{ "mkdir-rmdir", op_mkdir_rmdir, 2 },
	{ "overwrite-4k", op_overwrite_4k, 1 },
	{ "overwrite-1m", op_overwrite_1m, 1 },
	{ "fork-exec", op_spawn, 1 },
	{ "connect", op_connect, 1 },
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(size_t op, double ms)
{
	enum { BLOCKS = 31 };
	double block[BLOCKS];
	double t = now_us();
	long per_block;

	for (int i = 0; i < 20; i++)
		ops[op].run();
	per_block = (long)(ms * 1e3 / BLOCKS / ((now_us() - t) / 20)) + 1;
	for (int b = 0; b < BLOCKS; b++) {
		t = now_us();
		for (long i = 0; i < per_block; i++)
			ops[op].run();
		block[b] = (now_us() - t) / (double)per_block / ops[op].calls;
	}
	qsort(block, BLOCKS, sizeof(*block), compare);
	printf("%s %.3f\n", ops[op].name, block[BLOCKS / 2]);
}

static void files(long n)
{
	char name[64], content[1024];

	memset(content, 'x', sizeof(content));
	mkdir("files", 0700);
	for (long i = 0; i < n; i++) {
		int fd;

		if (i % 100 == 0) {
			snprintf(name, sizeof(name), "files/%ld", i / 100);
			mkdir(name, 0700);
		}
		snprintf(name, sizeof(name), "files/%ld/%ld", i / 100, i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || write(fd, content, sizeof(content)) != sizeof(content))
			fail(name);
		close(fd);
	}
	for (long i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "files/%ld/%ld", i / 100, i);
		if (unlink(name) != 0)
			fail(name);
		if (i % 100 == 99 || i == n - 1) {
			snprintf(name, sizeof(name), "files/%ld", i / 100);
			rmdir(name);
		}
	}
	rmdir("files");
}

int main(int argc, char **argv)
{
	socklen_t len = sizeof(peer);

	if (argc == 2 && !strcmp(argv[1], "now")) {
		printf("%.0f\n", now_us());
		fflush(stdout);
		_exit(0);
	}
	if (argc == 3 && !strcmp(argv[1], "files")) {
		files(strtol(argv[2], NULL, 10));
		return 0;
	}
	if (argc != 3) {
		fprintf(stderr, "usage: ops NAME|all MS | files N | now\n");
		return 2;
	}
	touch("f");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&peer, sizeof(peer)) != 0 ||
	    listen(listener, 16) != 0 || getsockname(listener, (struct sockaddr *)&peer, &len) != 0)
		fail("listener");
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!strcmp(argv[1], "all") || !strcmp(argv[1], ops[i].name))
			measure(i, strtod(argv[2], NULL));
	return 0;
}
