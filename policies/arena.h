/* Memory that lives and dies with one policy: no single free, no leak on an error path. */
#pragma once

#include <stddef.h>

struct arena {
	struct arena_block *blocks; /* owned; newest first */
};

/* Zeroed, aligned for any type. NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strndup(struct arena *a, const char *text, size_t len);
void arena_finish(struct arena *a);
