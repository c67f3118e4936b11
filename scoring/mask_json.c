/* The values of JSON, masked. */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "scoring/mask.h"

static const char whole[] = "[masked secret]";

/* No number that is looked for has fewer digits than 13. */
static bool is_short(struct json_object *v)
{
	if (json_object_is_type(v, json_type_int))
		return llabs(json_object_get_int64(v)) < 1000000000000;
	return json_object_is_type(v, json_type_double) && fabs(json_object_get_double(v)) < 1e12;
}

/* What stands instead of @v, the caller's, or NULL in *ret: @v itself, perhaps changed within. Number of places, -ENOMEM. */
static int mask_value(struct json_object *v, const char *name, unsigned what,
		      struct json_object **ret);

static int mask_scalar(struct json_object *v, unsigned what, struct json_object **ret)
{
	const char *text = json_object_get_string(v);
	size_t len = json_object_is_type(v, json_type_string)
			     ? (size_t)json_object_get_string_len(v)
			     : strlen(text);
	char *masked = NULL;
	int count = mask_text(text, len, what, &masked);
	if (count > 0 && !(*ret = json_object_new_string(masked)))
		count = -ENOMEM;
	free(masked);
	return count;
}

static int mask_object(struct json_object *o, unsigned what)
{
	int sum = 0;
	json_object_object_foreach(o, name, value)
	{
		struct json_object *made = NULL;
		int n = mask_value(value, name, what, &made);
		if (n < 0)
			return n;
		if (made) /* in the place of the old one: the walk goes on */
			json_object_object_add(o, name, made);
		sum += n;
	}
	return sum;
}

static int mask_array(struct json_object *o, unsigned what)
{
	int sum = 0;
	for (size_t i = 0; i < json_object_array_length(o); i++) {
		struct json_object *made = NULL;
		int n = mask_value(json_object_array_get_idx(o, i), "", what, &made);
		if (n < 0)
			return n;
		if (made)
			json_object_array_put_idx(o, i, made);
		sum += n;
	}
	return sum;
}

static int mask_value(struct json_object *v, const char *name, unsigned what,
		      struct json_object **ret)
{
	switch (json_object_get_type(v)) {
	case json_type_object:
		return mask_object(v, what);
	case json_type_array:
		return mask_array(v, what);
	case json_type_string:
	case json_type_int:
	case json_type_double:
		break;
	case json_type_null:
	case json_type_boolean:
		return 0;
	}
	if (!(what & MASK_SECRETS) || !mask_is_secret_name(name, strlen(name)) ||
	    (json_object_is_type(v, json_type_string) && json_object_get_string_len(v) == 0))
		return is_short(v) ? 0 : mask_scalar(v, what, ret);
	*ret = json_object_new_string(whole);
	return *ret ? 1 : -ENOMEM;
}

int mask_member(struct json_object *o, const char *name, unsigned what)
{
	struct json_object *v, *made = NULL;
	if (!json_object_object_get_ex(o, name, &v))
		return 0;
	int n = mask_value(v, name, what, &made);
	if (made)
		json_object_object_add(o, name, made);
	return n;
}
