/* What a verb makes of a gateway that hangs up instead of answering. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "launcher/control.h"
#include "sandbox/proc.h"

enum { PATIENCE_MS = 10000 };

struct fake {
	char dir[64], path[80];
	struct session session;
	pid_t monitor, gateway;
};

static pid_t child(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGURG, SIG_IGN);
	}
	return pid;
}

/* Accepts once and hangs up: with what was asked unread, or read. */
static _Noreturn void hang_up(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd >= 0)
			close(fd);
	}
}

static void describe(struct fake *f)
{
	char proc[32], text[400];
	snprintf(proc, sizeof(proc), "/proc/%d", f->monitor);
	int dir = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	snprintf(text, sizeof(text),
		 "{\"control\": \"%s\", \"monitor\": {\"pid\": %d, \"start_ticks\": %llu}}",
		 f->path, f->monitor, proc_stat_number(dir, 22));
	close(dir);
	f->session.start = json_tokener_parse(text);
	assert_non_null(f->session.start);
}

static int setup(void **state)
{
	static struct fake f;
	f = (struct fake){ .dir = "/tmp/vsandbox-call.XXXXXX",
			   .session = { .id = "20260101-aaaaaa", .dirfd = -1 } };
	if (!mkdtemp(f.dir))
		return -1;
	snprintf(f.path, sizeof(f.path), "%s/control.sock", f.dir);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, f.path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 8) < 0)
		return -1;
	f.monitor = child();
	if (f.monitor == 0)
		for (;;)
			pause();
	f.gateway = child();
	if (f.gateway == 0)
		hang_up(listener);
	close(listener);
	describe(&f);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;
	kill(f->gateway, SIGKILL);
	waitpid(f->gateway, NULL, 0);
	kill(f->monitor, SIGKILL);
	waitpid(f->monitor, NULL, 0);
	json_object_put(f->session.start);
	unlink(f->path);
	return rmdir(f->dir);
}

static void a_kill_that_the_monitor_has_is_done(void **state)
{
	struct fake *f = *state;
	struct err err = { "" };
	struct json_object *result = NULL;
	assert_int_equal(control_call(&f->session, "kill", NULL, PATIENCE_MS, &result, &err), 0);
	assert_null(result);
	int status;
	assert_int_equal(waitpid(f->monitor, &status, 0), f->monitor);
	assert_true(WIFSIGNALED(status));
}

static void a_kill_that_nobody_has_is_not(void **state)
{
	struct fake *f = *state;
	struct err err = { "" };
	kill(f->monitor, SIGKILL);
	waitpid(f->monitor, NULL, 0);
	assert_int_not_equal(control_call(&f->session, "kill", NULL, PATIENCE_MS, NULL, &err), 0);
	assert_non_null(strstr(err.text, f->session.id));
}

static void nothing_else_is_done_unanswered(void **state)
{
	static const char *const requests[] = { "pause", "resume", "status", "rollback" };
	struct fake *f = *state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct err err = { "" };
		assert_int_not_equal(
			control_call(&f->session, requests[i], NULL, PATIENCE_MS, NULL, &err), 0);
		assert_non_null(strstr(err.text, f->session.id));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kill_that_the_monitor_has_is_done, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_kill_that_nobody_has_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_else_is_done_unanswered, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
