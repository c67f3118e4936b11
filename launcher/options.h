/*
 * Command-line options from a table. Parsing stops at the first positional or
 * at `--`; a flag with a value takes exactly one; argv is never re-joined. Each
 * flag `--some-name` may also come from VSANDBOX_SOME_NAME, which the command
 * line then overrides (or, for repeatable flags, adds to).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* A row; its index in the table is its id. */
struct option_spec {
	const char *name;  /* long name without dashes; NULL ends the table */
	char letter;       /* 0 none */
	const char *value; /* what the value is called in help; NULL: a switch */
	const char *help;
};

enum { OPTIONS_GIVEN_MAX = 256 };

struct option_given {
	unsigned id;
	const char *value; /* NULL for a switch */
};

struct options {
	const char *verb; /* whose they are, to be named in a refusal; NULL: not to be */
	const struct option_spec *specs;
	struct option_given given[OPTIONS_GIVEN_MAX];
	unsigned count;
	char **args; /* positionals; NULL-terminated, borrowed from argv */
	int arg_count;
	bool dashes; /* the positionals were introduced by -- */
};

enum { OPTIONS_HELP = 1 };

/* 0, OPTIONS_HELP when -h or --help was met, -EINVAL with the nearest known flag in @err. */
int options_parse(const struct option_spec *specs, char **argv, struct options *ret,
		  struct err *err);

/*
 * The same for a verb whose first positional is a word of its own (`snapshot prune --keep 3`):
 * @ret has what @o has and the options after that word; its positionals come after it.
 */
int options_parse_after_word(const struct options *o, struct options *ret, struct err *err);

/* The variable that stands for an option: VSANDBOX_SOME_NAME, cut to fit. */
void options_variable(const struct option_spec *spec, char *ret, size_t size);

/*
 * The options of @o from id @first on, as words that options_parse takes: "--name", "value". At most @room
 * words into @words; the names are kept in @names. Number of words, or -E2BIG.
 */
enum { OPTION_WORD_SIZE = 48 };
int options_words(const struct options *o, unsigned first, char names[][OPTION_WORD_SIZE],
		  char **words, int room);

bool options_has(const struct options *o, unsigned id);
/* The last value given; NULL when the flag was not. */
const char *options_value(const struct options *o, unsigned id);
/* Exactly @least..@most positionals; -EINVAL with a hint at options that came too late. */
int options_want_args(const struct options *o, int least, int most, struct err *err);
