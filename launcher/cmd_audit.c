/* audit: the hash chain of a session's log, and the log for other programs to keep. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/ocsf.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { AUDIT_FORMAT };
const struct option_spec audit_options[] = {
	[AUDIT_FORMAT] = { "format", 0, "native|ocsf",
			   "export: the lines as they are kept (default), or OCSF 1.3" },
	{ NULL },
};

/* A chain that is whole, but another session's. */
static int verify_owner(const struct session *s, struct err *err)
{
	struct eventfile f;
	struct eventfile_line line;
	int r = eventfile_open(s->dirfd, &f, err);
	if (r < 0)
		return r;
	r = eventfile_next(&f, &line, err);
	if (r > 0) {
		const char *owner = event_text(line.json, "session");
		r = !strcmp(owner, s->id)
			    ? 0
			    : err_set(err, EBADMSG,
				      "events.jsonl of session %s is the log of '%.64s'", s->id,
				      owner);
		json_object_put(line.json);
	}
	eventfile_close(&f);
	return r;
}

static int verify(const struct session *s, struct err *err)
{
	uint64_t events = 0;
	int r = eventlog_verify(s->dirfd, &events, err);
	if (r == 0)
		r = verify_owner(s, err);
	if (r == 0)
		printf("session %s: %llu events, chain intact%s\n", s->id,
		       (unsigned long long)events, s->state == SESSION_RUNNING ? " so far" : "");
	return r;
}

/* A damaged line is told and makes the exit code 1; what is whole is exported all the same. */
static int export(const struct session *s, bool ocsf, struct err *err)
{
	char hostname[256] = "";
	struct eventfile f;
	struct eventfile_line line;
	int r = eventfile_open(s->dirfd, &f, err), damaged = 0;
	if (r < 0)
		return r;
	gethostname(hostname, sizeof(hostname) - 1);
	while ((r = eventfile_next(&f, &line, err)) != 0) {
		if (r == -EBADMSG) {
			log_warn("%s", err->text);
			damaged = 1;
			continue;
		}
		if (r < 0)
			break;
		struct json_object *event = ocsf ? ocsf_event(line.json, hostname) : NULL;
		puts(ocsf ? json_object_to_json_string_ext(
				    event, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
			  : line.text);
		json_object_put(event);
		json_object_put(line.json);
	}
	eventfile_close(&f);
	if (r == 0 && damaged)
		r = err_set(err, EBADMSG, "the log of session %s is damaged", s->id);
	return r;
}

int cmd_audit(const struct options *o)
{
	static struct options rest;
	struct session s;
	struct err err;
	const char *what = o->arg_count ? o->args[0] : "";
	bool exports = !strcmp(what, "export");
	if (!exports && strcmp(what, "verify") != 0) {
		log_error("usage: vsandbox audit verify|export [--format native|ocsf] [SESSION]");
		return EXIT_USAGE;
	}
	int r = options_parse(audit_options, o->args + 1, &rest, &err);
	if (r == OPTIONS_HELP) {
		help_print(verb_find("audit"));
		return out_finish();
	}
	const char *format = r == 0 ? options_value(&rest, AUDIT_FORMAT) : NULL;
	/* An option before the subverb counts too. */
	format = format ? format : options_value(o, AUDIT_FORMAT);
	if (r == 0 && format && strcmp(format, "native") != 0 && strcmp(format, "ocsf") != 0)
		r = err_set(&err, EINVAL, "--format '%.20s': native or ocsf", format);
	if (r == 0)
		r = options_want_args(&rest, 0, 1, &err);
	if (r == 0)
		r = session_find(rest.args[0], &s, &err);
	if (r == 0) {
		r = exports ? export(&s, format && !strcmp(format, "ocsf"), &err)
			    : verify(&s, &err);
		session_close(&s);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return r == -EBADMSG ? 1 : EXIT_USAGE;
	}
	return out_finish();
}
