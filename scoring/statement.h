/* A database statement as it is weighed: its words, and what a parser of its dialect said of it. */
#pragma once

#include "base/action.h"
#include "scoring/sql.h"

/* The graver of both. @a has a statement. */
void statement_shape(const struct action *a, struct sql_shape *ret);
