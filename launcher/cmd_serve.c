/* serve: becomes the control plane, a program of its own. */
#include <stdio.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/sibling.h"
#include "launcher/state.h"
#include "launcher/verb.h"

enum {
	SERVE_LISTEN,
	SERVE_DB,
	SERVE_CERT,
	SERVE_KEY,
	SERVE_PORT_FILE,
	SERVE_KEY_RATE,
	SERVE_PER_ADDRESS,
	SERVE_TIMEOUT,
	SERVE_NO_MASK,
	SERVE_WEBHOOK,
	SERVE_WEBHOOK_SECRET,
	SERVE_SYSLOG,
	SERVE_ALERT_WINDOW,
	SERVE_KEEP_DAYS,
	SERVE_COUNT
};
enum { FLAG_SIZE = 32 };

const struct option_spec serve_options[] = {
	[SERVE_LISTEN] = { "listen", 0, "ADDR:PORT",
			   "where to listen (default 127.0.0.1:7878); elsewhere needs TLS" },
	[SERVE_DB] = { "db", 0, "FILE|URL",
		       "SQLite file or postgresql:// URL (default control.db in the state "
		       "directory)" },
	[SERVE_CERT] = { "tls-cert", 0, "FILE", "certificate chain, PEM" },
	[SERVE_KEY] = { "tls-key", 0, "FILE", "its private key, PEM" },
	[SERVE_PORT_FILE] = { "port-file", 0, "FILE", "write the port there once it is open" },
	[SERVE_KEY_RATE] = { "key-rate", 0, "N",
			     "requests of one key in a second (default 10000; 0 no bound)" },
	[SERVE_PER_ADDRESS] = { "connections-per-address", 0, "N",
				"connections of one address at a time (default 4096; 0 no bound)" },
	[SERVE_TIMEOUT] = { "request-timeout", 0, "SECONDS",
			    "how long a request may take to arrive (default 30)" },
	[SERVE_NO_MASK] = { "no-mask", 0, NULL,
			    "store secrets and personal data as they are posted" },
	[SERVE_WEBHOOK] = { "webhook", 0, "URL", "post each alert there" },
	[SERVE_WEBHOOK_SECRET] = { "webhook-secret-file", 0, "FILE",
				   "what alerts are signed with (HMAC-SHA-256)" },
	[SERVE_SYSLOG] = { "syslog", 0, "WHERE",
			   "send each alert there: unix:PATH, udp:HOST:PORT or tcp:HOST:PORT" },
	[SERVE_ALERT_WINDOW] = { "alert-window", 0, "SECONDS",
				 "how long like actions are counted under one alert (default 60)" },
	[SERVE_KEEP_DAYS] = { "keep-days", 0, "N",
			      "remove what is older than N days (default 90; 0 keeps all)" },
	[SERVE_COUNT] = { NULL },
};

int cmd_serve(const struct options *o)
{
	const char *args[2 * SERVE_COUNT + 1];
	char flags[SERVE_COUNT][FLAG_SIZE];
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
		if (value || options_has(o, i)) {
			snprintf(flags[i], FLAG_SIZE, "--%s", serve_options[i].name);
			args[count++] = flags[i];
		}
		if (value)
			args[count++] = value;
	}
	args[count] = NULL;
	if (r == 0)
		r = sibling_become("serve", args, &err);
	log_error("%s", err.text);
	return EXIT_USAGE;
}
