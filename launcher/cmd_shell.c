/* shell: an interactive shell in a session of its own, with the options of run. */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/run.h"
#include "launcher/verb.h"

int cmd_shell(const struct options *o)
{
	char session[SESSION_ID_SIZE];
	struct err err;
	const char *shell = getenv("SHELL");
	if (options_want_args(o, 0, 0, &err) < 0) {
		log_error(
			"%s: a shell is always in a new session; what an ended one left cannot be "
			"entered again yet",
			err.text);
		return EXIT_USAGE;
	}
	if (!shell || shell[0] != '/' || access(shell, X_OK) < 0)
		shell = "/bin/sh";
	char *const argv[] = { (char *)(uintptr_t)shell, NULL };
	return run_command(o, argv, session);
}
