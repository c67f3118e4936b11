/* serve: becomes the control plane, a program of its own. */
#include <stdio.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/sibling.h"
#include "launcher/state.h"
#include "launcher/verb.h"

enum { SERVE_LISTEN, SERVE_DB, SERVE_CERT, SERVE_KEY, SERVE_PORT_FILE, SERVE_COUNT };
const struct option_spec serve_options[] = {
	[SERVE_LISTEN] = { "listen", 0, "ADDR:PORT",
			   "where to listen (default 127.0.0.1:7878); elsewhere needs TLS" },
	[SERVE_DB] = { "db", 0, "FILE|URL",
		       "SQLite file or postgresql:// URL (default control.db in the state "
		       "directory)" },
	[SERVE_CERT] = { "tls-cert", 0, "FILE", "certificate chain, PEM" },
	[SERVE_KEY] = { "tls-key", 0, "FILE", "its private key, PEM" },
	[SERVE_PORT_FILE] = { "port-file", 0, "FILE", "write the port there once it is open" },
	[SERVE_COUNT] = { NULL },
};

int cmd_serve(const struct options *o)
{
	static const char *const flags[SERVE_COUNT] = { "--listen", "--db", "--tls-cert",
							"--tls-key", "--port-file" };
	const char *args[2 * SERVE_COUNT + 1];
	char path[STATE_PATH_SIZE], db[STATE_PATH_SIZE + 16];
	unsigned count = 0;
	struct err err;
	int r = options_want_args(o, 0, 0, &err);
	for (unsigned i = 0; r == 0 && i < SERVE_COUNT; i++) {
		const char *value = options_value(o, i);
		if (!value && i == SERVE_DB) {
			cleanup_fd int state = state_open(path, &err);
			r = state < 0 ? state : 0;
			snprintf(db, sizeof(db), "%s/control.db", path);
			value = db;
		}
		if (value) {
			args[count++] = flags[i];
			args[count++] = value;
		}
	}
	args[count] = NULL;
	if (r == 0)
		r = sibling_become("serve", args, &err);
	log_error("%s", err.text);
	return EXIT_USAGE;
}
