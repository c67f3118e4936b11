/* A yes of a person: given with --yes, or asked for on the terminal. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/*
 * 0 when @yes or when the answer on the terminal is one; -ECANCELED otherwise, without asking
 * where there is no terminal to ask on.
 */
int confirm(bool yes, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
