/* The policy that `learn` proposes: text with a comment for every line that generalises. */
#pragma once

#include <stdio.h>

#include "launcher/observed.h"

struct proposal {
	const char *name;    /* of the policy */
	const char *command; /* as typed, for the description */
	const struct collapse_env *env;
	const struct policy *kept; /* --merge: whose own patterns stay; NULL none */
	const char *kept_file;     /* the file that holds those patterns */
};

/* What every proposal stands on, as a policy text: nothing allowed but what common/ grants. */
extern const char proposal_base[];

int proposal_write(FILE *f, const struct proposal *p, const struct observed *o, struct err *err);
