/* JSON values in the forms of the API. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct json_object;

/* ISO-8601 UTC with microseconds and +00:00; null for 0. A new reference. */
struct json_object *json_time(int64_t us);
/* Reads what json_time writes, and the usual variants (Z, no fraction, an offset). 0 or -EINVAL. */
int json_time_parse(const char *text, int64_t *ret_us);
/* A time as clients give it: seconds since 1970, or as json_time_parse. Microseconds; 0: none, or none that makes sense. */
int64_t json_time_given(struct json_object *v);
/* A score with at most four decimals. */
struct json_object *json_score(double value);
enum { JSON_SCORE_SIZE = 16 };
/* The same as text, and its length. */
size_t json_score_text(double value, char text[static JSON_SCORE_SIZE]);
/* The value that @text holds; null for NULL or what is no JSON. */
struct json_object *json_stored(const char *text);
/* The same for an answer that nobody looks into: @text, which this program wrote itself, goes out as it is. */
struct json_object *json_verbatim(const char *text);
struct json_object *json_text(const char *text); /* null for NULL */
/* A member as text; "" when it is absent or null. Lives as long as @o does. */
const char *json_member(struct json_object *o, const char *name);
/* json_object_object_add under a name that lives on; @value's reference goes over. */
void json_put(struct json_object *o, const char *name, struct json_object *value);

/* How many values the text can have at most, parsed or not: what it will cost is known before it is paid. */
size_t json_values(const char *text, size_t len);
