/*
 * Finds the first pattern of a list that a name hits. Most patterns of a policy
 * are fixed paths or subtrees: those are looked up by the hash of each leading
 * part of the name; only the rest is tried one by one.
 */
#pragma once

#include "policies/arena.h"
#include "policies/policy.h"

enum { INDEX_DEPTH = 24 }; /* a deeper name is matched without the index */

struct index_name {
	struct pattern_subject subject;
	unsigned count; /* of leading parts; INDEX_DEPTH + 1 when there are more */
	struct {
		uint32_t hash, len;
	} part[INDEX_DEPTH];
};
void index_name_init(struct index_name *name, const char *text);

const struct policy_pattern *index_find(const struct policy_patterns *list,
					const struct index_name *name);

/* Of all lists of paths of @p: to be called whenever one has changed. 0, -ENOMEM. */
int index_build_all(struct arena *a, struct policy *p);
