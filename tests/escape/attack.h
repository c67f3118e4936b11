/*
 * What every attack program shares: a table of attacks and a main() that runs
 * the one that is named.
 *
 * Exit status of `PROGRAM NAME`: 0 the attack succeeded, 1 it was stopped, 77 it
 * cannot be tried here (reason on stderr), 2 the try proves nothing. Natively an
 * attack marked NATIVE_MUST has to succeed: proof that the test can fail.
 *
 * The current directory is a scratch directory that run.sh fills afresh:
 *   plain.txt a.txt open/key        "public"
 *   secret.env a.env sub/secret.env vault/key   "TOKEN=hunter2"
 *   alias.link -> secret.env        a.okexec, a.noexec, tool.env: copies of this program
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SUCCEEDED = 0, STOPPED = 1, INCONCLUSIVE = 2, SKIPPED = 77 };

enum native {
	NATIVE_MUST,  /* succeeds natively, for anybody */
	NATIVE_ROOT,  /* succeeds natively for root */
	NATIVE_MAY,   /* depends on what this kernel or machine has */
	NATIVE_NEVER, /* would harm the machine: not run natively */
};

enum under {
	UNDER_STRICT, /* the shipped policy */
	UNDER_ATTACK, /* attack.json: all allowed but *.env, vault/ and exec of *.noexec */
};

struct attack {
	const char *name;
	int (*run)(void);
	enum native native;
	enum under under;
	const char *logged; /* the event log must name this path; NULL: not asked */
};

extern const struct attack attacks[];

/* Rows of attacks on what the shipped policy forbids everybody. */
#define MUST(f) \
	{ \
#f, f, NATIVE_MUST, UNDER_STRICT, NULL \
	}
#define ROOT(f) \
	{ \
#f, f, NATIVE_ROOT, UNDER_STRICT, NULL \
	}
#define MAY(f) \
	{ \
#f, f, NATIVE_MAY, UNDER_STRICT, NULL \
	}
#define NEVER(f) \
	{ \
#f, f, NATIVE_NEVER, UNDER_STRICT, NULL \
	}

#define SECRET "TOKEN=hunter2"

static inline void note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("# ", stdout);
	vprintf(format, ap);
	fputc('\n', stdout);
	va_end(ap);
	fflush(stdout);
}

static inline int skip(const char *why)
{
	fprintf(stderr, "skip: %s: %s\n", why, strerror(errno));
	return SKIPPED;
}

/* An attack on one call: reaching it is success. */
static inline int verdict(bool succeeded)
{
	int e = errno;

	if (!succeeded)
		note("stopped: %s", strerror(e));
	return succeeded ? SUCCEEDED : STOPPED;
}

/* The call was let through to the kernel: it answered other than a filter would. */
static inline int reached(long result)
{
	if (result >= 0)
		return SUCCEEDED;
	return verdict(errno != EPERM && errno != ENOSYS && errno != EACCES &&
		       errno != EAFNOSUPPORT);
}

/* Does this descriptor read the secret? Closes it. */
static inline int reads_secret(int fd)
{
	char text[64] = "";
	ssize_t n;

	if (fd < 0)
		return verdict(false);
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		note("opened, not readable: %s", strerror(errno));
	close(fd);
	return n > 0 && strstr(text, SECRET) ? SUCCEEDED : STOPPED;
}

/* Runs @body in a child; its exit status, or STOPPED when a signal ended it. */
static inline int in_child(int (*body)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return skip("fork");
	if (pid == 0) {
		int code = body();

		fflush(NULL);
		_exit(code);
	}
	if (waitpid(pid, &status, 0) != pid)
		return skip("waitpid");
	if (WIFSIGNALED(status)) {
		note("stopped: child killed by signal %d", WTERMSIG(status));
		return STOPPED;
	}
	return WEXITSTATUS(status);
}

static inline long tries(long most)
{
	const char *text = getenv("ATTACK_TRIES");
	long n = text ? strtol(text, NULL, 10) : 100000;

	return n < most ? n : most;
}

/* The copies of this program that exec attacks start: 7 the forbidden one ran, 3 the allowed. */
static inline int played_role(void)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = '\0';
	return strstr(exe, "noexec") || strstr(exe, "memfd:") || strstr(exe, ".env") ? 7 : 3;
}

int main(int argc, char **argv)
{
	static const char *const natives[] = { "must", "root", "may", "never" };

	if (argc >= 2 && !strcmp(argv[1], "--role"))
		return played_role();
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (const struct attack *a = attacks; a->name; a++)
			printf("%s %s %s %s\n", a->name, natives[a->native],
			       a->under == UNDER_STRICT ? "strict" : "attack",
			       a->logged ? a->logged : "-");
		return 0;
	}
	for (const struct attack *a = attacks; argc == 2 && a->name; a++)
		if (!strcmp(a->name, argv[1]))
			return a->run();
	fprintf(stderr, "usage: %s --list | NAME\n", argv[0]);
	return SKIPPED;
}
