#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "launcher/doctor_oci.h"
#include "launcher/doctor_pid.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/oci/patch.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "sandbox/probe.h"

enum { DOCTOR_JSON, DOCTOR_PID, DOCTOR_OCI, DOCTOR_SOCKET };
const struct option_spec doctor_options[] = {
	[DOCTOR_JSON] = { "json", 0, NULL, "as JSON" },
	[DOCTOR_PID] = { "pid", 0, "PID", "say instead whether attach would take this process" },
	[DOCTOR_OCI] = { "oci", 0, NULL,
			 "say instead whether this host's containers can be decided on" },
	[DOCTOR_SOCKET] = { "socket", 0, "PATH",
			    "--oci: the agent's (default /run/vsandbox/seccomp.sock)" },
	{ NULL },
};

static void print_json(const struct probe *p, const struct probe_result *r, bool first)
{
	fputs(first ? "{" : ",{", stdout);
	json_member(stdout, true, "layer", p->name);
	json_member(stdout, false, "level", probe_level_name(r->level));
	json_member(stdout, false, "needed_for", p->purpose);
	json_member(stdout, false, "text", r->text);
	json_member(stdout, false, "fix", r->fix[0] ? r->fix : NULL);
	putchar('}');
}

static void print_text(const struct probe *p, const struct probe_result *r)
{
	static const char *const colors[PROBE_LEVEL_COUNT] = {
		[PROBE_OK] = TERM_GREEN, [PROBE_WARN] = TERM_YELLOW, [PROBE_FAIL] = TERM_RED
	};
	bool color = term_color(1);
	printf("%s%-4s%s  %-16s ", color ? colors[r->level] : "", probe_level_name(r->level),
	       color ? TERM_RESET : "", p->name);
	term_text(stdout, r->text);
	putchar('\n');
	if (r->fix[0]) {
		fputs("      fix:             ", stdout);
		term_text(stdout, r->fix);
		putchar('\n');
	}
}

/* Not a probe of the machine, but as fatal to a run as one. */
static void look_at_state(char path[static STATE_PATH_SIZE], struct probe_result *ret)
{
	struct err err = { "" };
	cleanup_fd int state = state_open(path, &err);
	if (state < 0)
		probe_found(ret, PROBE_FAIL,
			    "mend it, or set XDG_STATE_HOME to a directory of yours", "%.250s",
			    err.text);
	else
		probe_found(ret, PROBE_OK, "", "%.200s", path);
}

struct tally {
	bool json, any;
	unsigned count[PROBE_LEVEL_COUNT];
};

static void tell(struct tally *t, const struct probe *p, const struct probe_result *r)
{
	t->count[r->level]++;
	if (t->json)
		print_json(p, r, !t->any);
	else
		print_text(p, r);
	t->any = true;
}

int cmd_doctor(const struct options *o)
{
	static const struct probe state = { "state", "sessions and logs", NULL };
	char path[STATE_PATH_SIZE] = "";
	struct err err;
	struct probe_result result;
	struct tally t = { .json = options_has(o, DOCTOR_JSON) };
	int r = options_want_args(o, 0, 0, &err);
	if (r == 0 && options_has(o, DOCTOR_PID))
		return doctor_pid(options_value(o, DOCTOR_PID), t.json);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (options_has(o, DOCTOR_OCI)) {
		const char *socket = options_value(o, DOCTOR_SOCKET);
		return doctor_oci(socket ? socket : oci_default_socket, t.json);
	}
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct passwd *pw = getpwuid(geteuid());
	const struct probe_host host = { .root_fd = root,
					 .uid = geteuid(),
					 .user = pw ? pw->pw_name : NULL,
					 .mark = getenv("VSANDBOX"),
					 .state_path = path };
	if (t.json)
		fputs("{\"schema_version\":1,\"layers\":[", stdout);
	look_at_state(path, &result);
	tell(&t, &state, &result);
	for (const struct probe *p = probe_table; p->name; p++) {
		result = (struct probe_result){ .level = PROBE_FAIL };
		fflush(stdout); /* the probes fork */
		p->run(&host, &result);
		if (result.level == PROBE_FAIL && host.mark && !strcmp(host.mark, "1"))
			snprintf(result.fix, sizeof(result.fix),
				 "run vsandbox outside of the vsandbox it is in");
		tell(&t, p, &result);
	}
	if (t.json)
		printf("],\"ok\":%s}\n", t.count[PROBE_FAIL] ? "false" : "true");
	else
		printf("%u ok, %u warning%s, %u failure%s\n", t.count[PROBE_OK],
		       t.count[PROBE_WARN], t.count[PROBE_WARN] == 1 ? "" : "s",
		       t.count[PROBE_FAIL], t.count[PROBE_FAIL] == 1 ? "" : "s");
	r = out_finish();
	return r ? r : t.count[PROBE_FAIL] ? EXIT_DOCTOR : 0;
}
