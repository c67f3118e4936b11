/* What a session's log says that somebody who reads a CI job's result should know: denials, alerts, the score. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "launcher/session.h"

enum { CI_FINDINGS_MAX = 500 };

/* Actions that differ in nothing here but when they were tried. Texts owned. */
struct ci_finding {
	char *decision, *type, *resource, *rule, *policy_file, *program;
	int64_t policy_line;
	uint64_t seq; /* of the first */
	uint64_t count;
	double score; /* the highest */
};

struct ci_findings {
	struct session session;                   /* owned */
	struct ci_finding items[CI_FINDINGS_MAX]; /* what was denied, before what was alerted */
	unsigned count;
	uint64_t unlisted; /* that had no more room */
	uint64_t actions, alerts, denials;
	uint64_t damaged; /* lines of the log that could not be read */
	double top_score;
};

/* Of the session @id; freed with ci_findings_free. */
int ci_findings_read(const char *id, struct ci_findings **ret, struct err *err);
void ci_findings_free(struct ci_findings *f);

/* True for what was let through. */
bool ci_finding_is_alert(const struct ci_finding *f);
/* "denied file_read /x (rule r, f.json:1, score 0.95), 3 times"; no control characters, always UTF-8. */
void ci_finding_text(const struct ci_finding *f, char *ret, size_t size);
/* The rule's name, else the reason that no rule names. */
const char *ci_finding_rule(const struct ci_finding *f);
