#include "launcher/archive.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/log.h"
#include "launcher/sibling.h"
#include "launcher/term.h"

struct reading {
	const struct archive_job *job;
	struct json_object *result; /* owned */
	struct err *err;
	bool on_terminal, drawn;
};

static void draw(struct reading *r, const char *numbers)
{
	char text[128];
	unsigned long long entries, bytes;
	unsigned width = term_width(STDERR_FILENO);
	if (!r->on_terminal || sscanf(numbers, "%llu %llu", &entries, &bytes) != 2)
		return;
	snprintf(text, sizeof(text), "vsandbox: %s: %llu entries, %.1f MiB", r->job->doing, entries,
		 (double)bytes / (1 << 20));
	/* one that wrapped could not be drawn over; nor may the cursor stand behind the last column */
	fprintf(stderr, "\r%.*s\033[K", width > 1 ? (int)width - 1 : (int)sizeof(text), text);
	r->drawn = true;
}

static int on_error(struct reading *r, const char *text)
{
	char *end;
	long errnum = strtol(text, &end, 10);
	if (errnum <= 0 || errnum > 4095)
		errnum = EPROTO;
	return err_set(r->err, (int)errnum, "%s", *end == ' ' ? end + 1 : text);
}

static int on_line(char *text, void *arg)
{
	struct reading *r = arg;
	char *rest = strchr(text, ' ');
	if (!rest)
		return err_set(r->err, EPROTO, "vsandbox-archive: an answer that makes no sense");
	*rest++ = '\0';
	if (strcmp(text, "progress") == 0) {
		draw(r, rest);
		return 0;
	}
	if (strcmp(text, "error") == 0)
		return on_error(r, rest);
	struct json_object *o = json_tokener_parse(rest);
	int rc = 0;
	if (!o) {
		rc = err_set(r->err, EPROTO, "vsandbox-archive: an answer that is no JSON");
	} else if (strcmp(text, "result") == 0 && !r->result) {
		r->result = o;
		o = NULL;
	} else if (strcmp(text, "entry") == 0 && r->job->entry) {
		rc = r->job->entry(o, r->job->arg);
	} else {
		rc = err_set(r->err, EPROTO, "vsandbox-archive: an answer nobody asked for");
	}
	json_object_put(o);
	return rc;
}

int archive_run(const struct archive_job *job, struct json_object **ret, struct err *err)
{
	struct reading r = {
		.job = job,
		.err = err,
		.on_terminal = job->doing && log_get_level() > LOG_QUIET && isatty(STDERR_FILENO),
	};
	int rc = sibling_run("archive", job->args, job->fds, on_line, &r, err);
	if (r.drawn)
		fputs("\r\033[K", stderr);
	if (rc < 0) {
		json_object_put(r.result);
		return rc;
	}
	*ret = r.result;
	return 0;
}
