#include "launcher/external.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "launcher/eventfile.h"
#include "launcher/succession.h"
#include "launcher/term.h"

enum { CHAIN_MAX = 64 }; /* restarts of the agent that are looked behind */

static bool left(struct json_object *event, uint64_t since)
{
	const char *type = event_text(event, "type");
	const char *verdict = event_text(event, "decision");
	return (uint64_t)event_number(event, "seq") >= since &&
	       (!strcmp(type, "network_request") || !strcmp(type, "api_call") ||
		!strcmp(type, "database_write")) &&
	       (!strcmp(verdict, "allow") || !strcmp(verdict, "alert"));
}

static void print_one(FILE *f, const struct eventfile_line *l, enum external_format format,
		      unsigned number)
{
	if (format == EXTERNAL_JSON) {
		fprintf(f, "%s%s", number ? "," : "", l->text);
		return;
	}
	if (number == 0)
		fputs("these left the sandbox and stay done:\n", f);
	fprintf(f, "  event %lld  %s  ", (long long)event_number(l->json, "seq"),
		event_text(l->json, "type"));
	term_text(f, event_text(l->json, "resource"));
	fputc('\n', f);
}

static void print_log(int session_dirfd, uint64_t since, FILE *f, enum external_format format,
		      unsigned *count)
{
	struct eventfile file;
	struct eventfile_line l;
	struct err err;
	int r;
	if (eventfile_open(session_dirfd, &file, &err) < 0)
		return;
	while ((r = eventfile_next(&file, &l, &err)) == 1 || r == -EBADMSG) {
		if (r == -EBADMSG)
			continue;
		if (left(l.json, since))
			print_one(f, &l, format, (*count)++);
		json_object_put(l.json);
	}
	eventfile_close(&file);
}

void external_print(int session_dirfd, uint64_t since, FILE *f, enum external_format format)
{
	unsigned count = 0, chain = 0;
	int dirs[CHAIN_MAX];
	if (format == EXTERNAL_JSON)
		fputs("[", f);
	for (int at = session_dirfd; since && chain < CHAIN_MAX; chain++) {
		dirs[chain] = succession_before(at);
		if (dirs[chain] < 0)
			break;
		at = dirs[chain];
	}
	while (chain-- > 0) { /* the oldest first */
		print_log(dirs[chain], since, f, format, &count);
		close(dirs[chain]);
	}
	if (since)
		print_log(session_dirfd, since, f, format, &count);
	if (format == EXTERNAL_JSON)
		fputs("]", f);
}
