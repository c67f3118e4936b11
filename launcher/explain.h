/* A decision told to a person: what, by which rule, with which score, and the way around it. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/action.h"
#include "base/verdict.h"
#include "scoring/remedy.h"

/* From a decision just made or from a line of the log. "" or NULL: not known. Borrowed. */
struct explanation {
	const char *kind, *text; /* events that are no action */
	const char *type, *resource, *program;
	const char *decision, *reason, *rule, *file, *policy;
	int64_t line;
	double score, x[DIMENSION_COUNT];
	const char *why[DIMENSION_COUNT];
	const struct remedy *remedy; /* NULL: it could not be tried what would let it through */
};

void explanation_of(const struct action *a, const struct decision *d, struct explanation *ret);
void explain(FILE *f, const struct explanation *e);
void explain_json(FILE *f, const struct explanation *e);
