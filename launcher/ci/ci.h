/* The parts of the verb `ci`: one function for each runner's contract. */
#pragma once

#include "launcher/options.h"

/* Options of ci; from CI_FIRST_OF_RUN on they are handed to run as they are, under the same names. */
enum ci_option {
	CI_BUILDS_DIR,
	CI_CACHE_DIR,
	CI_REPORT_DIR,
	CI_FORMAT,
	CI_IMAGES_DIR,
	CI_FIRST_OF_RUN,
	CI_POLICY = CI_FIRST_OF_RUN,
};

/* argv like bash's, in @o's arguments. Returns the exit code of the shell. */
int ci_shell(const struct options *o);
/* The custom executor of GitLab Runner; @o's arguments begin with config, prepare, run or cleanup. */
int ci_gitlab(const struct options *o);
/* The container hooks of GitHub's runner: one command as JSON on stdin. */
int ci_github(const struct options *o);
/* The report of a session; @o's argument is the session, or none. */
int ci_report(const struct options *o);

/* Words for run: the policy ci, then those of @o. At most @room; their number, or -E2BIG. */
int ci_run_words(const struct options *o, char names[][OPTION_WORD_SIZE], char **words, int room);
