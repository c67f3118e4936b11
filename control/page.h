/* Which part of a list is asked for, and where the next one begins. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct call;
struct json_object;

enum { LIST_LIMIT = 50, LIST_MAX = 1000, PAGE_ID_SIZE = 65 };

struct page {
	int64_t limit;
	int64_t at; /* the id to go on from, or the time, where rows are ordered by that; 0: the first page */
	char after[PAGE_ID_SIZE]; /* of the rows of that time, the id to go on from; "" */
};

/* Of the query. -EINVAL. */
int page_read(const struct call *c, struct page *ret, struct err *err);
/* The cursor of the page after @list, which has @least rows at least when there may be one: the id of its last row. */
void page_next(struct call *c, struct json_object *list, int64_t least);
/* The same for rows that are ordered by their member @time and then by their id. */
void page_next_by(struct call *c, struct json_object *list, int64_t least, const char *time);
