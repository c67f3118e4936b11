/* What vsandbox-serve takes from itself, tried by a process that did. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "control/confine.h"
#include "control/db.h"

static char dir[] = "/tmp/vsandbox-server-XXXXXX";
static char store[64];

enum outcome {
	WENT_WELL,
	NOT_CONFINED,
	OPENED,
	STORE_REFUSED,
	THREAD_REFUSED,
	TALKED,
	TALK_REFUSED,
	RAN,
	FORKED,
	MOUNTED,
	TRACED,
};

static bool refused(long result)
{
	return result < 0 && (errno == EPERM || errno == EACCES);
}

static void *nothing(void *arg)
{
	return arg;
}

/* A new connection that writes, as the server's pool makes them. */
static bool store_works(void)
{
	struct db *db = NULL;
	struct err err;
	bool good = db_open(store, &db, &err) == 0 &&
		    db_script(db, "CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)",
			      &err) == 0;
	db_close(db);
	return good;
}

static enum outcome attempt(enum confine_reach reach)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL };
	pthread_t thread;
	bool landlock;
	bool calls = reach == CONFINE_CALLS_OUT;
	if (confine_server(store, reach, &landlock, NULL) < 0)
		return NOT_CONFINED;
	if (landlock &&
	    (!refused(open("/etc/shadow", O_RDONLY)) ||
	     !refused(open("/proc/self/maps", O_RDONLY)) || !refused(open(dir, O_RDONLY)) ||
	     !refused(open("/tmp/vsandbox-new", O_WRONLY | O_CREAT, 0600)) ||
	     (open("/etc/passwd", O_RDONLY) >= 0) != calls))
		return OPENED;
	if (!store_works() || !store_works())
		return STORE_REFUSED;
	if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return THREAD_REFUSED;
	if (!calls && !refused(socket(AF_INET, SOCK_STREAM, 0)))
		return TALKED;
	if (!refused(socket(AF_PACKET, SOCK_RAW, 0)))
		return TALKED;
	if (calls && socket(AF_INET, SOCK_STREAM, 0) < 0)
		return TALK_REFUSED;
	if (!refused(execve("/bin/true", argv, NULL)))
		return RAN;
	if (!refused(fork()))
		return FORKED;
	if (!refused(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) ||
	    !refused(unshare(CLONE_NEWUSER)))
		return MOUNTED;
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) ? WENT_WELL : TRACED;
}

static int outcome(enum confine_reach reach)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit((int)attempt(reach));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void nothing_is_left_but_the_store(void **state)
{
	(void)state;
	assert_int_equal(outcome(CONFINE_STAYS), WENT_WELL);
	assert_int_equal(outcome(CONFINE_CALLS_OUT), WENT_WELL);
}

static int make_store(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(store, sizeof(store), "%s/x.db", dir);
	return 0;
}

static int remove_store(void **state)
{
	char command[80];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_left_but_the_store) };
	return cmocka_run_group_tests(tests, make_store, remove_store);
}
