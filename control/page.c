#include "control/page.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/json.h"

/* 0 or more, up to @ret_end; -EINVAL. */
static int64_t read_number(const char *text, char **ret_end)
{
	errno = 0;
	int64_t value = strtoll(text, ret_end, 10);
	return errno || value < 0 || *ret_end == text ? -EINVAL : value;
}

int page_read(const struct call *c, struct page *ret, struct err *err)
{
	const char *limit = c->query(c, "limit"), *cursor = c->query(c, "cursor");
	char *end = "";
	*ret = (struct page){ .limit = LIST_LIMIT };
	if (limit && *limit)
		ret->limit = read_number(limit, &end);
	if (ret->limit <= 0 || *end)
		return err_set(err, EINVAL, "limit makes no sense");
	if (ret->limit > LIST_MAX)
		ret->limit = LIST_MAX;
	if (!cursor || !*cursor)
		return 0;
	ret->at = read_number(cursor, &end);
	if (ret->at < 0 || (*end && *end != '.') || strlen(end) > sizeof(ret->after))
		return err_set(err, EINVAL, "cursor makes no sense");
	if (*end)
		strcpy(ret->after, end + 1);
	return 0;
}

static struct json_object *last_of(struct json_object *list, int64_t least)
{
	size_t count = json_object_array_length(list);
	return count > 0 && (int64_t)count >= least ? json_object_array_get_idx(list, count - 1)
						    : NULL;
}

void page_next(struct call *c, struct json_object *list, int64_t least)
{
	struct json_object *last = last_of(list, least);
	if (last)
		snprintf(c->next, sizeof(c->next), "%s", json_member(last, "id"));
}

void page_next_by(struct call *c, struct json_object *list, int64_t least, const char *time)
{
	struct json_object *last = last_of(list, least);
	int64_t at;
	if (last && json_time_parse(json_member(last, time), &at) == 0)
		snprintf(c->next, sizeof(c->next), "%" PRId64 ".%s", at, json_member(last, "id"));
}
