/*
 * Every system call number 0..1023 with random arguments, each in a child of its
 * own with a time limit. Nothing is expected of the calls; afterwards the secret
 * must still be out of reach and the judge alive. Never run natively.
 */
#include "attack.h"

#include <sys/time.h>

enum { HANGS_MS = 60000 }; /* far more than the fifth of a second that each call has */

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Half plausible, half noise: a pointer to readable memory, a small number, a path, rubbish. */
static long argument(char *memory)
{
	switch (next() % 8) {
	case 0:
		return (long)memory;
	case 1:
		return (long)(next() % 16);
	case 2:
		return (long)strcpy(memory + 512, "plain.txt");
	case 3:
		return (long)strcpy(memory + 1024, "secret.env");
	case 4:
		return -100; /* AT_FDCWD */
	case 5:
		return (long)(1UL << (next() % 64));
	case 6:
		return (long)(memory + 4096 - next() % 8);
	default:
		return (long)next();
	}
}

static void call(long nr, uint64_t seed)
{
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct itimerval limit = { .it_value = { 0, 200000 } };
	long a[6];

	if (memory == MAP_FAILED)
		_exit(3);
	munmap(memory + 4096, 4096);
	state = seed;
	for (int i = 0; i < 4000; i++)
		memory[i] = (char)next();
	for (int i = 0; i < 6; i++)
		a[i] = argument(memory);
	setitimer(ITIMER_REAL, &limit, NULL);
	syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	_exit(0);
}

/* Numbers that would end, stop or duplicate more than the child. */
static bool left_out(long nr)
{
	return nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill ||
	       nr == SYS_pidfd_send_signal || nr == SYS_rt_sigqueueinfo ||
	       nr == SYS_rt_tgsigqueueinfo;
}

static int fuzz(int rounds)
{
	const char *text = getenv("ATTACK_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 20250101;
	long hung = 0;

	note("seed %llu, %d rounds", (unsigned long long)seed, rounds);
	for (int round = 0; round < rounds; round++)
		for (long nr = 0; nr < 1024; nr++) {
			int status, ms = 0;
			pid_t pid;

			if (left_out(nr))
				continue;
			pid = fork();
			if (pid == 0) {
				setpgid(0, 0);
				call(nr,
				     seed * 1000003u + (uint64_t)(round * 1024 + nr) * 7919u + 1);
			}
			if (pid < 0)
				return skip("fork");
			while (waitpid(pid, &status, WNOHANG) == 0 && ms++ < HANGS_MS)
				usleep(1000);
			if (ms >= HANGS_MS) {
				note("call %ld hangs", nr);
				hung++;
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
			}
		}
	if (hung)
		return SUCCEEDED;
	return reads_secret(open("secret.env", O_RDONLY)) == SUCCEEDED ||
			       access("open/key", F_OK) != 0
		       ? SUCCEEDED
		       : STOPPED;
}

static int fuzz_short(void)
{
	return fuzz(1);
}

static int fuzz_long(void)
{
	return fuzz((int)tries(20));
}

const struct attack attacks[] = {
	{ "fuzz_short", fuzz_short, NATIVE_NEVER, UNDER_STRICT, NULL },
	{ "fuzz_long", fuzz_long, NATIVE_NEVER, UNDER_ATTACK, NULL },
	{ 0 },
};
