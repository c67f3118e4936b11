/*
 * ci shell: stands where a runner looks for its shell. The arguments are bash's; stdin, exit code, signals and
 * directory are its as well, because it is an ordinary run.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/ci/ci.h"
#include "launcher/ci/report.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/verb.h"

enum { SHELL_WORDS_MAX = 2 * OPTIONS_GIVEN_MAX + 8, SHELL_ARGS_MAX = 4096 };

static char bash[] = "/bin/bash";

/* By pid 1, which nobody inside or outside can rename: a variable could be set by the job. */
static bool inside_already(void)
{
	static const char init[] = "vsandbox-init\n";
	char name[32] = "";
	cleanup_fd int fd = open("/proc/1/comm", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strcmp(name, init) == 0;
}

int ci_shell(const struct options *o)
{
	static char names[OPTIONS_GIVEN_MAX][OPTION_WORD_SIZE];
	static struct options run;
	char *words[SHELL_WORDS_MAX + 3], *argv[SHELL_ARGS_MAX];
	char session[SESSION_ID_SIZE];
	static char end[] = "--";
	struct err err = { "" };
	if (o->arg_count >= SHELL_ARGS_MAX - 1) {
		log_error("ci shell: more than %d arguments", SHELL_ARGS_MAX - 2);
		return EXIT_USAGE;
	}
	argv[0] = bash;
	memcpy(argv + 1, o->args, (size_t)(o->arg_count + 1) * sizeof(argv[0]));
	/* A script of the job that calls bash finds the shim again. */
	if (inside_already()) {
		execv(bash, argv);
		log_error("%s: %s", bash, strerrordesc_np(errno));
		return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	int n = ci_run_words(o, names, words, SHELL_WORDS_MAX);
	if (n < 0) {
		log_error("ci shell: too many options");
		return EXIT_USAGE;
	}
	words[n++] = end;
	words[n] = NULL;
	if (options_parse(run_options, words, &run, &err) != 0) {
		log_error("ci shell: %s", err.text);
		return EXIT_USAGE;
	}
	int code = run_command(&run, argv, session);
	const char *dir = options_value(o, CI_REPORT_DIR);
	if (*session && dir && ci_report_write_to(session, dir, &err) < 0)
		log_error("%s", err.text);
	return code;
}
