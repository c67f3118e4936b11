/* What emulate.c, emulate_call.c, emulate_names.c and emulate_object.c share. Private to them. */
#pragma once

#include <stddef.h>

#include "sandbox/watch.h"

enum { FIRST, SECOND }; /* of a call's two paths, and of their places */

/* Reads the arguments, resolves the places, fills the action. 0, or the errno to answer. */
typedef int prepare_fn(struct worker *w, int fixed);
/* Makes the call. 0 or -errno. */
typedef int perform_fn(struct worker *w, int fixed);

/* Who carries out a row, and the flags that an older form of a call implies. */
struct responder {
	prepare_fn *prepare;
	perform_fn *perform;
	int fixed;
};

/* Of call @nr, one on names or one on an object; NULL when it is none of them. */
const struct responder *emulate_names(size_t nr);
const struct responder *emulate_object(size_t nr);

/* emulate_call.c */
/* Argument index of the @n-th argument of @kind; -1 none. The row knows, not the code. */
int emulate_arg(const struct worker *w, enum arg kind, unsigned n);
/* The directory that goes with path argument @path_arg: the argument before it, or the cwd. */
int emulate_dirfd(const struct worker *w, int path_arg);
/* The value of the first argument of @kind; 0 when the call has none. */
int emulate_number(const struct worker *w, enum arg kind);

/* Reads the path argument @which and resolves it to w->place[@which]. 0, -errno. */
int emulate_resolve(struct worker *w, unsigned which, enum place_flags flags);
/* Both of them. 0, -errno. */
int emulate_resolve_pair(struct worker *w, enum place_flags first, enum place_flags second);
/* Fills the action with what w->place[@which] is. */
void emulate_describe(struct worker *w, unsigned which);

/* The -errno of a call that has just failed; of a call's result, 0 when it has not. */
int emulate_errno(void);
int emulate_result(long r);
