/* status: this host in one screen: where things are kept, how much of it, what decides. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/config.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/server.h"
#include "launcher/session_store.h"
#include "launcher/term.h"
#include "launcher/uplink.h"
#include "launcher/verb.h"

enum { STATUS_JSON, STATUS_FLUSH };
const struct option_spec status_options[] = {
	[STATUS_JSON] = { "json", 0, NULL, "as JSON" },
	[STATUS_FLUSH] = { "flush", 0, NULL, "deliver first what earlier sessions have left" },
	{ NULL },
};

struct status {
	char state_path[STATE_PATH_SIZE], config_path[STATE_PATH_SIZE];
	struct config config;
	struct server server;        /* url "": this host reports to nobody */
	char trouble[ERR_TEXT_SIZE]; /* what the server said; "" it answers */
	unsigned undelivered;        /* sessions with something left to report */
	uint64_t bytes, by_state[SESSION_STATE_COUNT], with_changes;
};

static void print_json(const struct status *s)
{
	fputs("{\"schema_version\":1", stdout);
	json_member(stdout, false, "version", VSANDBOX_VERSION);
	json_member(stdout, false, "state_directory", s->state_path);
	json_member(stdout, false, "config_directory", s->config_path);
	json_member(stdout, false, "default_policy",
		    s->config.policy[0] ? s->config.policy : "dev");
	printf(",\"bytes\":%llu,\"sessions\":{", (unsigned long long)s->bytes);
	for (int i = 0; i < SESSION_STATE_COUNT; i++)
		printf("%s\"%s\":%llu", i ? "," : "", session_state_name((enum session_state)i),
		       (unsigned long long)s->by_state[i]);
	printf("},\"with_changes\":%llu,\"budgets\":{\"sessions\":%llu,\"bytes\":%llu,"
	       "\"age_seconds\":%llu}",
	       (unsigned long long)s->with_changes, (unsigned long long)s->config.sessions,
	       (unsigned long long)s->config.bytes, (unsigned long long)s->config.age_seconds);
	json_member(stdout, false, "reports_to", *s->server.url ? s->server.url : NULL);
	json_member(stdout, false, "server_trouble", *s->trouble ? s->trouble : NULL);
	printf(",\"undelivered_sessions\":%u}\n", s->undelivered);
}

static void line(const char *name, const char *text)
{
	printf("%-12s", name);
	term_text(stdout, text);
	putchar('\n');
}

static void print_text(const struct status *s)
{
	const char *comma = "";
	line("version", VSANDBOX_VERSION);
	line("state", s->state_path);
	line("config", s->config_path);
	line("policy", s->config.policy[0] ? s->config.policy : "dev");
	printf("%-12s", "sessions");
	for (int i = 0; i < SESSION_STATE_COUNT; i++) {
		if (!s->by_state[i])
			continue;
		printf("%s%llu %s", comma, (unsigned long long)s->by_state[i],
		       session_state_name((enum session_state)i));
		comma = ", ";
	}
	printf("%s; %llu with changes\n%-12s%.1f MiB\n", *comma ? "" : "none",
	       (unsigned long long)s->with_changes, "disk space", (double)s->bytes / 1048576);
	bool over = (s->config.bytes && s->bytes > s->config.bytes);
	if (over)
		line("", "above the budget of config.json: vsandbox prune");
	line("reports to", *s->server.url ? s->server.url : "nobody: vsandbox login URL");
	if (*s->trouble)
		line("", s->trouble);
	else if (*s->server.url)
		line("", "the server answers and knows the key");
	if (s->undelivered)
		printf("%-12s%u session%s not wholly delivered: vsandbox status --flush\n", "",
		       s->undelivered, s->undelivered == 1 ? " is" : "s are");
}

/* Where this host reports, and whether anybody listens there. */
static void look_at_server(struct status *s, int state_fd, bool flush)
{
	struct err err = { "" };
	cleanup_fd int fd = server_open(state_fd, &err);
	int r = fd < 0 ? fd : server_read(fd, &s->server, &err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = err_sys(&err, errno, "server.json");
	if (r == 0)
		r = uplink_check(s->state_path, fd, flush, &s->undelivered, &err);
	if (r < 0 && r != -ENOENT)
		snprintf(s->trouble, sizeof(s->trouble), "%s", err.text);
}

int cmd_status(const struct options *o)
{
	static struct status s; /* large for a stack */
	struct session *list = NULL;
	struct err err;
	cleanup_fd int state = -1;
	int r = options_want_args(o, 0, 0, &err);
	if (r == 0)
		r = config_load(&s.config, &err);
	if (r == 0)
		r = state_config_path(s.config_path, &err);
	if (r == 0)
		r = state = state_open(s.state_path, &err);
	int count = r < 0 ? r : session_list(state, s.state_path, &list, &err);
	if (count < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	for (int i = 0; i < count; i++) {
		struct session_store store;
		session_store_look(&list[i], &store);
		s.by_state[list[i].state]++;
		s.with_changes += store.changes != 0;
	}
	s.bytes = store_bytes(state);
	look_at_server(&s, state, options_has(o, STATUS_FLUSH));
	session_list_free(list, count);
	if (options_has(o, STATUS_JSON))
		print_json(&s);
	else
		print_text(&s);
	return out_finish();
}
