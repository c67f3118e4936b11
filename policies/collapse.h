/*
 * From the files a job touched to the few patterns a person can read and that the job's next run
 * meets again. Pure. Rules, in this order:
 *   1. a name of a thing the job made that looks drawn by lot or counted: a ? for each drawn
 *      character of one that is gone again (tmp_obj_??????), else a * from there on (a hash, a
 *      pid, a date)
 *   2. a version number in a name outside the workspace becomes *: python3.11 -> python*
 *   3. more than COLLAPSE_LINES patterns below one directory become DIR with two stars, but for
 *      directories that hold what is not the job's: /, /etc, a home, what contains the workspace
 *   4. the workspace, the directory of temporary files and the home are written by their names
 * Wildcard bytes of a path are escaped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { COLLAPSE_LINES = 8 };

struct collapse_path {
	const char *path; /* absolute, canonical; borrowed */
	bool listed;  /* a pattern is wanted for it; else it only tells what was made and went */
	bool created; /* the job made it */
	bool gone;    /* and removed it, or gave it another name */
};

struct collapse_env {
	const char *workspace, *tmpdir, *home; /* canonical; NULL none */
};

enum collapse_rule {
	COLLAPSE_EXACT,
	COLLAPSE_TEMPORARY, /* rule 1 */
	COLLAPSE_VERSION,   /* rule 2 */
	COLLAPSE_DIRECTORY, /* rule 3 */
};

struct collapse_pattern {
	char *text; /* owned; as a policy file writes it, but for JSON's own escapes */
	enum collapse_rule rule;
	unsigned covered; /* number of paths it was made from */
};

/*
 * @paths is sorted and made unique in place. Returns the number of patterns, in *@ret, to be freed
 * with collapse_free; -ENOMEM.
 */
int collapse(struct collapse_path *paths, size_t count, const struct collapse_env *env,
	     struct collapse_pattern **ret);
void collapse_free(struct collapse_pattern *patterns, int count);
