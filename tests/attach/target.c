/*
 * Something to attach to: threads that each wait in another system call, and compute. None of it may
 * notice. Reads "probe" lines from its standard input, in which main waits like the others; then
 * every thread, and a child of main, tries to open the canary. Prints one line:
 *
 *   threads=T denied=D eintr=E wrong=W early=A late=L rounds=R child=errno
 *
 * denied: threads whose open failed with EACCES. eintr: calls that failed with EINTR although
 * nobody sent a signal. wrong: data lost, doubled or changed. early, late: waits shorter than asked, or
 * longer by more than LATE_MS. Usage: target CANARY [spinners [sleepers]]
 *
 * target CANARY alone FILE: one thread that makes no call until the first byte of FILE changes, so that an attach finds it
 * in its own code; then the canary, and "alone denied=D wrong=W".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 20, LATE_MS = 20000, THREADS_MAX = 1024 };

static const char *canary;
static atomic_int probe, denied, eintr, wrong, early, late, done, threads;
static atomic_long rounds;

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void try_canary(void)
{
	int fd = open(canary, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 && errno == EACCES)
		denied++;
	if (fd >= 0)
		close(fd);
	done++;
}

/* A call's result: EINTR never, since nobody sends us a signal. */
static long check(long r)
{
	if (r < 0 && errno == EINTR)
		eintr++;
	return r;
}

/* A wait of WAIT_MS begun at @since ended now. @call: for whoever reads of a failure. */
static void timed_as(const char *call, int64_t since)
{
	int64_t us = now_us() - since;
	bool was_early = us < WAIT_MS * 1000 - 500; /* timers of a coarser clock */
	bool was_late = us > (WAIT_MS + LATE_MS) * 1000LL;
	early += was_early;
	late += was_late;
	if (was_early || was_late)
		fprintf(stderr, "%s: %lld us instead of %d\n", call, (long long)us, WAIT_MS * 1000);
}
#define timed(since) timed_as(__func__, since)

static void do_nanosleep(void)
{
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000 };
	int64_t since = now_us();
	check(nanosleep(&t, NULL));
	timed(since);
}

static void do_clock_nanosleep(void)
{
	struct timespec t;
	int64_t since =
		now_us(); /* before its end is worked out: what delays that is no early end */
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += WAIT_MS * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	check(errno ? -1 : 0);
	timed(since);
}

static void do_poll(void)
{
	int64_t since = now_us();
	if (check(poll(NULL, 0, WAIT_MS)) != 0)
		wrong++;
	timed(since);
}

static void do_ppoll(void)
{
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	int64_t since = now_us();
	if (check(ppoll(NULL, 0, &t, &set)) != 0)
		wrong++;
	timed(since);
}

static void do_select(void)
{
	struct timeval t = { .tv_usec = WAIT_MS * 1000 };
	int64_t since = now_us();
	if (check(select(0, NULL, NULL, NULL, &t)) != 0)
		wrong++;
	timed(since);
}

static void do_epoll(void)
{
	struct epoll_event e;
	int fd = epoll_create1(0);
	int64_t since = now_us();
	if (check(epoll_wait(fd, &e, 1, WAIT_MS)) != 0)
		wrong++;
	timed(since);
	close(fd);
}

static void do_futex(void)
{
	int word = 1;
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000 };
	int64_t since = now_us();
	if (check(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &t, NULL, 0)) != -1 ||
	    errno != ETIMEDOUT)
		wrong++;
	timed(since);
}

static void do_sem(void)
{
	sem_t sem;
	struct timespec t;
	sem_init(&sem, 0, 0);
	int64_t since = now_us(); /* as above */
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += WAIT_MS * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	if (check(sem_timedwait(&sem, &t)) != -1 || errno != ETIMEDOUT)
		wrong++;
	timed(since);
}

static void do_sigtimedwait(void)
{
	sigset_t set;
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000 };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	int64_t since = now_us();
	if (check(sigtimedwait(&set, NULL, &t)) != -1 || errno != EAGAIN)
		wrong++;
	timed(since);
}

static void do_semop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	struct sembuf op = { .sem_op = -1 };
	struct timespec t = { .tv_nsec = WAIT_MS * 1000000 };
	if (id < 0)
		return;
	int64_t since = now_us();
	if (check(semtimedop(id, &op, 1, &t)) != -1 || errno != EAGAIN)
		wrong++;
	timed(since);
	semctl(id, 0, IPC_RMID);
}

static void do_recv_timeout(void)
{
	int pair[2];
	char c;
	struct timeval t = { .tv_usec = WAIT_MS * 1000 };
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	int64_t since = now_us();
	if (check(recv(pair[0], &c, 1, 0)) != -1 || errno != EAGAIN)
		wrong++;
	timed(since);
	close(pair[0]);
	close(pair[1]);
}

/* Whoever writes comes late, so that the reader waits; every number arrives once. */
struct counted {
	int fd;
	uint32_t next;
};

static void *write_numbers(void *arg)
{
	struct counted *c = arg;
	for (uint32_t i = 0; i < 10; i++) {
		usleep(2000);
		if (check(write(c->fd, &i, sizeof(i))) != sizeof(i))
			wrong++;
	}
	close(c->fd);
	return NULL;
}

static void read_numbers(int from, int to)
{
	struct counted c = { .fd = to };
	pthread_t t;
	uint32_t n, want = 0;
	if (pthread_create(&t, NULL, write_numbers, &c))
		abort();
	while (check(read(from, &n, sizeof(n))) == sizeof(n))
		if (n != want++)
			wrong++;
	if (want != 10)
		wrong++;
	pthread_join(t, NULL);
	close(from);
}

static void do_pipe(void)
{
	int fds[2];
	if (pipe(fds) == 0)
		read_numbers(fds[0], fds[1]);
}

static void *connect_late(void *arg)
{
	struct sockaddr_in *a = arg;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	usleep(WAIT_MS * 1000);
	if (check(connect(fd, (struct sockaddr *)a, sizeof(*a))) < 0)
		wrong++;
	return (void *)(intptr_t)fd;
}

static void do_accept(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t t;
	void *client;
	if (bind(server, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(server, 5) < 0 ||
	    getsockname(server, (struct sockaddr *)&a, &len) < 0 ||
	    pthread_create(&t, NULL, connect_late, &a))
		abort();
	int fd = (int)check(accept(server, NULL, NULL));
	if (fd < 0)
		wrong++;
	pthread_join(t, &client);
	read_numbers(fd, (int)(intptr_t)client);
	close(server);
}

static void do_wait(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		usleep(WAIT_MS * 1000);
		_exit(7);
	}
	if (check(waitpid(pid, &status, 0)) != pid || WEXITSTATUS(status) != 7)
		wrong++;
}

static void do_vfork_exec(void)
{
	int status;
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	if (check(waitpid(pid, &status, 0)) != pid || status != 0)
		wrong++;
	usleep(1000);
}

/* All in registers, with a check value that any change of one would spoil. */
static void do_compute(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 5;
	double x = 1.0, y = 3.0;
	for (unsigned i = 0; i < 2000000; i++) {
		a = a * 6364136223846793005u + 1442695040888963407u;
		b ^= b << 13, b ^= b >> 7, b ^= b << 17;
		c += a ^ b;
		d = (d << 1 | d >> 63) + c;
		x = x * 1.0000001 + 0.5;
		y = y / 1.0000001 + x * 1e-9;
	}
	static _Atomic uint64_t first;
	uint64_t sum, none = 0, bits;
	memcpy(&bits, &y, sizeof(bits));
	sum = (a ^ b ^ c ^ d ^ bits) | 1;
	if (!atomic_compare_exchange_strong(&first, &none, sum) && none != sum)
		wrong++;
}

/* glibc reads the CPU's number in a restartable area; a broken one shows nonsense. */
static void do_rseq(void)
{
	for (unsigned i = 0; i < 200000; i++)
		if (sched_getcpu() < 0 || sched_getcpu() > 4096)
			wrong++;
}

static void (*const waits[])(void) = {
	do_nanosleep, do_clock_nanosleep, do_poll,   do_ppoll,        do_select,
	do_epoll,     do_futex,           do_sem,    do_sigtimedwait, do_semop,
	do_pipe,      do_recv_timeout,    do_accept, do_wait,         do_vfork_exec,
	do_rseq,
};
enum { WAITS = sizeof(waits) / sizeof(*waits) };

static void *work(void *arg)
{
	void (*step)(void) = (void (*)(void))(uintptr_t)arg;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (bool tried = false;;) {
		step();
		rounds++;
		if (probe && !tried) {
			tried = true;
			try_canary();
		}
		if (probe > 1)
			return NULL;
	}
}

static void start(void (*step)(void), pthread_t *ret)
{
	if (threads >= THREADS_MAX || pthread_create(ret, NULL, work, (void *)(uintptr_t)step))
		abort();
	threads++;
}

static int alone(const char *file)
{
	int fd = open(file, O_RDONLY);
	const volatile char *told = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || told == MAP_FAILED)
		return 1;
	char before = *told;
	printf("ready\n");
	while (*told == before) {
		do_compute();
		do_rseq();
	}
	try_canary();
	printf("alone denied=%d wrong=%d\n", denied, wrong);
	return 0;
}

int main(int argc, char **argv)
{
	static pthread_t all[THREADS_MAX];
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 0);
	canary = argc > 1 ? argv[1] : "canary.secret";
	if (argc > 3 && strcmp(argv[2], "alone") == 0)
		return alone(argv[3]);
	int spinners = argc > 2 ? atoi(argv[2]) : 1, sleepers = argc > 3 ? atoi(argv[3]) : 0;
	for (unsigned i = 0; i < WAITS; i++)
		start(waits[i], &all[threads]);
	for (int i = 0; i < spinners; i++)
		start(do_compute, &all[threads]);
	for (int i = 0; i < sleepers; i++)
		start(do_poll, &all[threads]);
	printf("ready\n");
	size_t have = 0;
	while (have < 6) {
		long n = check(read(0, line + have, sizeof(line) - have));
		if (n <= 0)
			return 1;
		have += (size_t)n;
	}
	probe = 1;
	while (done < threads)
		usleep(1000);
	pid_t pid = fork();
	if (pid == 0)
		_exit(open(canary, O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0);
	int status = 0;
	waitpid(pid, &status, 0);
	int of_threads = denied, count = threads;
	probe = 2;
	for (int i = 0; i < count; i++)
		pthread_join(all[i], NULL);
	printf("threads=%d denied=%d eintr=%d wrong=%d early=%d late=%d rounds=%ld child=%d\n",
	       count, of_threads, eintr, wrong, early, late, rounds, WEXITSTATUS(status));
	return 0;
}
