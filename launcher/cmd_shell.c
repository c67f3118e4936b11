/* shell: an interactive shell with the options of run, in a new session or in one that has ended. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/session_again.h"
#include "launcher/verb.h"

/* Where the session was: its layers are planned from there. */
static int enter(const struct options *o, char *const *argv)
{
	struct session s = { .dirfd = -1 };
	struct err err;
	int code = EXIT_USAGE;
	int r = session_find(o->args[0], &s, &err);
	if (r == 0)
		r = session_again_check(&s, &err);
	if (r == 0 && chdir(session_text(&s, "cwd")) < 0)
		r = err_sys(&err, errno, "%s, the directory of session %s", session_text(&s, "cwd"),
			    s.id);
	if (r < 0)
		log_error("%s", err.text);
	else
		code = run_again(o, argv, &s);
	session_close(&s);
	return code;
}

int cmd_shell(const struct options *o)
{
	char session[SESSION_ID_SIZE];
	struct err err;
	const char *shell = getenv("SHELL");
	if (options_want_args(o, 0, 1, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (!shell || shell[0] != '/' || access(shell, X_OK) < 0)
		shell = "/bin/sh";
	char *const argv[] = { (char *)(uintptr_t)shell, NULL };
	return o->arg_count ? enter(o, argv) : run_command(o, argv, session);
}
