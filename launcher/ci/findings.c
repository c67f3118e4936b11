#include "launcher/ci/findings.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/event.h"
#include "base/verdict.h"
#include "launcher/eventfile.h"

static void free_texts(struct ci_finding *f)
{
	char *const texts[] = { f->decision, f->type,        f->resource,
				f->rule,     f->policy_file, f->program };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
}

void ci_findings_free(struct ci_findings *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->count; i++)
		free_texts(&f->items[i]);
	session_close(&f->session);
	free(f);
}

bool ci_finding_is_alert(const struct ci_finding *f)
{
	return strcmp(f->decision, verdict_name(VERDICT_ALERT)) == 0;
}

const char *ci_finding_rule(const struct ci_finding *f)
{
	return f->rule;
}

static bool same(const struct ci_finding *f, const struct json_object *e, const char *rule)
{
	return strcmp(f->resource, event_text(e, "resource")) == 0 &&
	       strcmp(f->type, event_text(e, "type")) == 0 && strcmp(f->rule, rule) == 0 &&
	       strcmp(f->decision, event_text(e, "decision")) == 0;
}

static int add(struct ci_findings *all, const struct json_object *e)
{
	const char *rule = event_text(e, "rule");
	double score = event_real(e, "score");
	if (!*rule)
		rule = event_text(e, "reason");
	for (unsigned i = 0; i < all->count; i++) {
		struct ci_finding *f = &all->items[i];
		if (!same(f, e, rule))
			continue;
		f->count++;
		f->score = score > f->score ? score : f->score;
		return 0;
	}
	if (all->count == CI_FINDINGS_MAX) {
		all->unlisted++;
		return 0;
	}
	struct ci_finding f = {
		.decision = strdup(event_text(e, "decision")),
		.type = strdup(event_text(e, "type")),
		.resource = strdup(event_text(e, "resource")),
		.rule = strdup(rule),
		.policy_file = strdup(event_text(e, "policy_file")),
		.program = strdup(event_text(e, "program")),
		.policy_line = event_number(e, "policy_line"),
		.seq = (uint64_t)event_number(e, "seq"),
		.count = 1,
		.score = score,
	};
	all->items[all->count++] = f;
	return f.decision && f.type && f.resource && f.rule && f.policy_file && f.program ? 0
											  : -ENOMEM;
}

/* One line of the log. */
static int take(struct ci_findings *all, const struct json_object *e)
{
	const char *decision = event_text(e, "decision");
	double score = event_real(e, "score");
	if (strcmp(event_text(e, "kind"), event_kind_name(EVENT_ACTION)) != 0)
		return 0;
	all->actions++;
	all->top_score = score > all->top_score ? score : all->top_score;
	if (!*decision || strcmp(decision, verdict_name(VERDICT_ALLOW)) == 0)
		return 0;
	bool alert = strcmp(decision, verdict_name(VERDICT_ALERT)) == 0;
	all->alerts += alert;
	all->denials += !alert;
	return add(all, e);
}

static int denials_first(const void *a, const void *b)
{
	const struct ci_finding *x = a, *y = b;
	int alerts = (int)ci_finding_is_alert(x) - (int)ci_finding_is_alert(y);
	return alerts ? alerts : (x->seq > y->seq) - (x->seq < y->seq);
}

int ci_findings_read(const char *id, struct ci_findings **ret, struct err *err)
{
	struct eventfile log;
	struct eventfile_line line;
	struct ci_findings *all = calloc(1, sizeof(*all));
	if (!all)
		return err_set(err, ENOMEM, "out of memory");
	all->session.dirfd = -1;
	int r = session_find(id, &all->session, err);
	if (r == 0)
		r = eventfile_open(all->session.dirfd, &log, err);
	if (r < 0) {
		ci_findings_free(all);
		return r;
	}
	while ((r = eventfile_next(&log, &line, err)) == 1 || r == -EBADMSG) {
		all->damaged += r == -EBADMSG;
		r = r == 1 ? take(all, line.json) : 0;
		if (r < 0)
			break;
		json_object_put(line.json);
		line.json = NULL;
	}
	eventfile_close(&log);
	if (r < 0) {
		ci_findings_free(all);
		return r == -ENOMEM ? err_set(err, ENOMEM, "out of memory") : r;
	}
	qsort(all->items, all->count, sizeof(all->items[0]), denials_first);
	*ret = all;
	return 0;
}

void ci_finding_text(const struct ci_finding *f, char *ret, size_t size)
{
	struct buf b;
	const char *slash = strrchr(f->policy_file, '/');
	buf_init(&b, ret, size);
	buf_printf(&b, "%s %s ", ci_finding_is_alert(f) ? "alert:" : "denied", f->type);
	buf_term(&b, f->resource, strlen(f->resource));
	buf_puts(&b, " (rule ");
	buf_term(&b, f->rule, strlen(f->rule));
	if (*f->policy_file) {
		buf_puts(&b, ", ");
		buf_term(&b, slash ? slash + 1 : f->policy_file,
			 strlen(slash ? slash + 1 : f->policy_file));
		buf_printf(&b, ":%lld", (long long)f->policy_line);
	}
	buf_printf(&b, ", score %.2f)", f->score);
	if (f->count > 1)
		buf_printf(&b, ", %llu times", (unsigned long long)f->count);
}
