/* One run of the tool vsandbox; each different denial or alert is a result. */
#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "launcher/ci/report.h"
#include "launcher/term.h"

enum { TEXT_SIZE = 8192, URI_SIZE = 3 * 4096 + 16 };

/* A JSON string without control characters or broken UTF-8: not every reader takes lone surrogates. */
static void put(FILE *f, const char *text)
{
	char shown[TEXT_SIZE];
	struct buf b;
	buf_init(&b, shown, sizeof(shown));
	buf_term(&b, text, strlen(text));
	json_text(f, shown);
}

/* RFC 3986: what is not unreserved, and no slash, in hex. */
static void uri_of(const char *path, char *ret, size_t size)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	struct buf b;
	buf_init(&b, ret, size);
	for (; *path; path++) {
		if (strchr(plain, *path))
			buf_putc(&b, *path);
		else
			buf_printf(&b, "%%%02X", (unsigned char)*path);
	}
}

static void time_member(FILE *f, const char *name, int64_t ns)
{
	char when[32];
	struct tm tm;
	time_t t = (time_t)(ns / 1000000000);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	if (ns)
		fprintf(f, ",\"%s\":\"%s\"", name, when);
}

/* Index of the first finding with the same rule: rules are told in that order. */
static unsigned first_of_rule(const struct ci_findings *all, unsigned i)
{
	unsigned first = 0;
	while (strcmp(ci_finding_rule(&all->items[first]), ci_finding_rule(&all->items[i])) != 0)
		first++;
	return first;
}

static unsigned rule_index(const struct ci_findings *all, unsigned i)
{
	unsigned index = 0, first = first_of_rule(all, i);
	for (unsigned k = 0; k < first; k++)
		index += first_of_rule(all, k) == k;
	return index;
}

static void rules(FILE *f, const struct ci_findings *all)
{
	const char *comma = "";
	fputs(",\"rules\":[", f);
	for (unsigned i = 0; i < all->count; i++) {
		const struct ci_finding *one = &all->items[i];
		if (first_of_rule(all, i) != i)
			continue;
		fprintf(f, "%s{\"id\":", comma);
		put(f, ci_finding_rule(one));
		fputs(",\"shortDescription\":{\"text\":", f);
		put(f, *one->policy_file ? one->policy_file : "the policy's score and limits");
		fputs("}}", f);
		comma = ",";
	}
	fputc(']', f);
}

/* A file by its URI, below the job's directory where it lies there; all else by its name. */
static void location(FILE *f, const struct ci_findings *all, const struct ci_finding *one)
{
	char uri[URI_SIZE];
	const char *workspace = session_text(&all->session, "workspace");
	size_t len = strlen(workspace);
	fputs(",\"locations\":[{", f);
	if (one->resource[0] != '/') {
		fputs("\"logicalLocations\":[{\"fullyQualifiedName\":", f);
		put(f, one->resource);
		fputs(",\"kind\":\"resource\"}]}]", f);
		return;
	}
	bool below =
		len > 1 && strncmp(one->resource, workspace, len) == 0 && one->resource[len] == '/';
	uri_of(below ? one->resource + len + 1 : one->resource, uri, sizeof(uri));
	fprintf(f, "\"physicalLocation\":{\"artifactLocation\":{\"uri\":\"%s%s\"%s}}}]",
		below ? "" : "file://", uri, below ? ",\"uriBaseId\":\"WORKSPACE\"" : "");
}

static void result(FILE *f, const struct ci_findings *all, unsigned i)
{
	const struct ci_finding *one = &all->items[i];
	char text[TEXT_SIZE];
	ci_finding_text(one, text, sizeof(text));
	fputs("{\"ruleId\":", f);
	put(f, ci_finding_rule(one));
	fprintf(f, ",\"ruleIndex\":%u,\"level\":\"%s\",\"message\":{\"text\":", rule_index(all, i),
		ci_finding_is_alert(one) ? "warning" : "error");
	put(f, text);
	fprintf(f, "},\"occurrenceCount\":%llu", (unsigned long long)one->count);
	location(f, all, one);
	fprintf(f, ",\"properties\":{\"score\":%.4f,\"seq\":%llu,\"type\":", one->score,
		(unsigned long long)one->seq);
	put(f, one->type);
	fputs(",\"program\":", f);
	put(f, one->program);
	fputs("}}", f);
}

static void invocation(FILE *f, const struct session *s)
{
	struct json_object *code = json_object_object_get(s->end, "exit_code");
	struct json_object *ended = json_object_object_get(s->end, "ended_ns");
	fprintf(f, ",\"invocations\":[{\"executionSuccessful\":%s", s->end ? "true" : "false");
	if (code)
		fprintf(f, ",\"exitCode\":%d", json_object_get_int(code));
	time_member(f, "startTimeUtc", session_number(s, "started_ns"));
	time_member(f, "endTimeUtc", ended ? json_object_get_int64(ended) : 0);
	fputs("}]", f);
}

void ci_report_sarif(FILE *f, const struct ci_findings *all)
{
	const struct session *s = &all->session;
	char uri[URI_SIZE];
	uri_of(session_text(s, "workspace"), uri, sizeof(uri));
	fputs("{\"$schema\":\"https://json.schemastore.org/"
	      "sarif-2.1.0.json\",\"version\":\"2.1.0\","
	      "\"runs\":[{\"tool\":{\"driver\":{\"name\":\"vsandbox\",\"version\":"
	      "\"" VSANDBOX_VERSION "\"",
	      f);
	rules(f, all);
	fputs("}},\"automationDetails\":{\"id\":", f);
	put(f, s->id);
	fputc('}', f);
	invocation(f, s);
	if (*uri)
		fprintf(f, ",\"originalUriBaseIds\":{\"WORKSPACE\":{\"uri\":\"file://%s/\"}}", uri);
	fputs(",\"results\":[", f);
	for (unsigned i = 0; i < all->count; i++) {
		if (i)
			fputc(',', f);
		result(f, all, i);
	}
	struct json_object *effects = json_object_object_get(s->end, "external_effects");
	fprintf(f,
		"],\"properties\":{\"actions\":%llu,\"alerts\":%llu,\"denials\":%llu,\"topScore\":%"
		".4f",
		(unsigned long long)all->actions, (unsigned long long)all->alerts,
		(unsigned long long)all->denials, all->top_score);
	if (effects)
		fprintf(f, ",\"externalEffects\":%s", json_object_to_json_string(effects));
	fputs("}}]}\n", f);
}
