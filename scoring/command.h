/* What one command, split into words, is known to do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "scoring/dimensions.h"

enum {
	COMMAND_WORDS = 48, /* of one command; the dangerous ones come early */
	COMMAND_DEPTH = 4,  /* shells within shells, substitutions within substitutions */
};

struct word {
	const char *text; /* NUL-terminated */
	size_t len;
};

struct command {
	struct word words[COMMAND_WORDS];
	unsigned count;
	bool piped_download; /* a download flows into it by a pipe */
	bool holds_download; /* … or stands in its words by a substitution */
	bool sends_download; /* its output is a download, or made from one */
};

/*
 * Raises @f by what @c does and sets what its output is. @depth: how many
 * `sh -c` it stands in.
 */
void command_check(struct command *c, unsigned depth, struct finding *f);

/* Whether a program of this name reads commands: it decides by what runs, not by argv[0]. */
bool command_goes_by_name(const char *name);
const char *command_base_name(const char *path);
