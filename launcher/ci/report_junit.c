/* A testsuite for the session; each different denial is a test that failed. */
#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "launcher/ci/report.h"

enum { TEXT_SIZE = 8192 };

/* Text of an attribute or element. Control characters and broken UTF-8 have no place in XML at all. */
static void put(FILE *f, const char *text)
{
	char shown[TEXT_SIZE];
	struct buf b;
	buf_init(&b, shown, sizeof(shown));
	buf_term(&b, text, strlen(text));
	for (const char *c = shown; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\xef': /* U+FFFE and U+FFFF are UTF-8 and no XML */
			if (c[1] == '\xbf' && (c[2] == '\xbe' || c[2] == '\xbf')) {
				fputc('?', f);
				c += 2;
				break;
			}
			fputc(*c, f);
			break;
		default:
			fputc(*c, f);
		}
	}
}

static void attribute(FILE *f, const char *name, const char *text)
{
	fprintf(f, " %s=\"", name);
	put(f, text);
	fputc('"', f);
}

static void property(FILE *f, const char *name, const char *value)
{
	fputs("\t\t\t<property", f);
	attribute(f, "name", name);
	attribute(f, "value", value);
	fputs("/>\n", f);
}

static double seconds(const struct session *s)
{
	struct json_object *end = json_object_object_get(s->end, "ended_ns");
	int64_t started = session_number(s, "started_ns");
	return end && started ? (double)(json_object_get_int64(end) - started) / 1e9 : 0;
}

static void opening(FILE *f, const struct ci_findings *all, unsigned failures)
{
	const struct session *s = &all->session;
	char number[32], when[32];
	time_t started = (time_t)(session_number(s, "started_ns") / 1000000000);
	struct tm tm;
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&started, &tm));
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites name=\"vsandbox\" tests=\"%u\" failures=\"%u\" errors=\"0\" "
		"time=\"%.3f\">\n"
		"\t<testsuite",
		all->count + 1, failures, seconds(s));
	attribute(f, "name", s->id);
	fprintf(f,
		" tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"0\" time=\"%.3f\""
		" timestamp=\"%s\">\n\t\t<properties>\n",
		all->count + 1, failures, seconds(s), when);
	property(f, "policy", session_text(s, "policy"));
	property(f, "mode", session_text(s, "mode"));
	snprintf(number, sizeof(number), "%llu", (unsigned long long)all->actions);
	property(f, "actions", number);
	snprintf(number, sizeof(number), "%.2f", all->top_score);
	property(f, "top_score", number);
	fputs("\t\t</properties>\n", f);
}

static void testcase(FILE *f, const struct ci_finding *one)
{
	char name[TEXT_SIZE], class[64], text[TEXT_SIZE];
	snprintf(name, sizeof(name), "%s", one->resource);
	snprintf(class, sizeof(class), "vsandbox.%s", one->type);
	ci_finding_text(one, text, sizeof(text));
	fputs("\t\t<testcase", f);
	attribute(f, "classname", class);
	attribute(f, "name", name);
	fputs(" time=\"0\">\n", f);
	if (ci_finding_is_alert(one)) {
		fputs("\t\t\t<system-out>", f);
		put(f, text);
		fputs("</system-out>\n", f);
	} else {
		fputs("\t\t\t<failure", f);
		attribute(f, "message", text);
		attribute(f, "type", ci_finding_rule(one));
		fputs(">by ", f);
		put(f, one->program);
		fprintf(f, "; vsandbox why --event %llu</failure>\n", (unsigned long long)one->seq);
	}
	fputs("\t\t</testcase>\n", f);
}

static void outside(FILE *f, const struct session *s)
{
	struct json_object *effects = json_object_object_get(s->end, "external_effects");
	size_t n = json_object_is_type(effects, json_type_array) ? json_object_array_length(effects)
								 : 0;
	fputs("\t\t<system-out>", f);
	fputs(n ? "left the machine:" : "nothing left the machine", f);
	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(effects, i);
		struct json_object *resource = json_object_object_get(one, "resource");
		fputs("\n", f);
		put(f, resource ? json_object_get_string(resource) : "");
	}
	fputs("</system-out>\n", f);
}

void ci_report_junit(FILE *f, const struct ci_findings *all)
{
	unsigned failures = 0;
	for (unsigned i = 0; i < all->count; i++)
		failures += !ci_finding_is_alert(&all->items[i]);
	opening(f, all, failures);
	/* A report without a test is taken for a broken one. */
	fputs("\t\t<testcase classname=\"vsandbox\" name=\"the job ran in a sandbox\" "
	      "time=\"0\"/>\n",
	      f);
	for (unsigned i = 0; i < all->count; i++)
		testcase(f, &all->items[i]);
	outside(f, &all->session);
	fputs("\t</testsuite>\n</testsuites>\n", f);
}
