/*
 * fnmatch(3) with flags 0 in the C locale: `*`, `?`, `[...]` with ranges and
 * [:classes:], backslash escapes; no byte is special to them, not even `/` or a
 * leading `.`. Ours because libc's follows the locale (paths are bytes) and may
 * allocate. Stricter: what fnmatch takes literally for want of an end is refused.
 */
#pragma once

#include <stdbool.h>

enum glob_result {
	GLOB_MATCH,
	GLOB_DIFFERS,   /* before any star */
	GLOB_EXHAUSTED, /* after a star: no later part of the text can match what follows it */
};

/* NULL when [@pattern, @end) is well formed, else what is wrong (static text). */
const char *glob_check(const char *pattern, const char *end);

/* @pattern must have passed glob_check. Time is at most its length times that of @text. */
enum glob_result glob_match(const char *pattern, const char *end, const char *text);
