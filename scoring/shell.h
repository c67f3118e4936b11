/*
 * Dangerous shapes of a command: of an argv, and of the text given to `sh -c`.
 * Not a shell: it splits words, quotes, pipes and substitutions, and is safe on
 * any bytes. What it misses is still decided where it acts, at the syscall.
 */
#pragma once

#include "base/action.h"
#include "scoring/dimensions.h"

struct finding shell_danger(const struct action *a);

/* The same of a script, @depth shells deep. */
void shell_scan(const char *text, size_t len, unsigned depth, struct finding *f);
