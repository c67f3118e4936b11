/* Who cannot be looked at has not ended. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/seize.h"

static pid_t sleeper(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void without_descriptors_nobody_is_taken_for_ended(void **state)
{
	(void)state;
	static const pid_t skip[] = { 0 };
	pid_t pid = sleeper();
	struct rlimit before, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3; /* 0 to 2 are in use */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	struct seized s;
	struct err err = { "" };
	int r = seize_tree(pid, skip, &s, &err);
	seize_release(&s);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(r, -EMFILE);
	assert_non_null(strstr(err.text, "threads of process"));
	end(pid);
}

static void who_has_ended_is_no_error(void **state)
{
	(void)state;
	static const pid_t skip[] = { 0 };
	pid_t pid = sleeper();
	end(pid);
	struct seized s;
	struct err err = { "" };
	assert_int_equal(seize_tree(pid, skip, &s, &err), 0);
	assert_int_equal(s.thread_count, 0);
	seize_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_descriptors_nobody_is_taken_for_ended),
		cmocka_unit_test(who_has_ended_is_no_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
