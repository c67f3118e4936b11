/* The members of a request's body: checked, and described. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "control/call.h"
#include "control/json.h"
#include "scoring/mask.h"

enum { TEXT_LONGEST = 4096, LIST_LONGEST = 1000 };

static void add_error(struct json_object *list, const char *name, const char *msg, const char *type)
{
	struct json_object *o = json_object_new_object(), *loc = json_object_new_array();
	json_object_array_add(loc, json_object_new_string("body"));
	json_object_array_add(loc, json_object_new_string(name));
	json_put(o, "loc", loc);
	json_put(o, "msg", json_object_new_string(msg));
	json_put(o, "type", json_object_new_string(type));
	json_object_array_add(list, o);
}

static bool is_word(const char *const *words, const char *text)
{
	for (; *words; words++)
		if (strcmp(*words, text) == 0)
			return true;
	return false;
}

static void check_text(const struct field *f, struct json_object *v, struct json_object *errors)
{
	size_t longest = f->longest ? f->longest : TEXT_LONGEST;
	size_t len = (size_t)json_object_get_string_len(v);
	if (!json_object_is_type(v, json_type_string))
		add_error(errors, f->name, "Input should be a valid string", "string_type");
	else if (len > longest)
		add_error(errors, f->name, "String is too long", "string_too_long");
	else if (strlen(json_object_get_string(v)) != len)
		add_error(errors, f->name, "String holds a NUL", "string_type");
	else if (f->required && len == 0)
		add_error(errors, f->name, "String should not be empty", "string_too_short");
	else if (f->words && !is_word(f->words, json_object_get_string(v)))
		add_error(errors, f->name, "Input is none of the known words", "enum");
}

static void check_number(const struct field *f, struct json_object *v, struct json_object *errors)
{
	double value = json_object_get_double(v);
	if (f->type == FIELD_INT && !json_object_is_type(v, json_type_int))
		add_error(errors, f->name, "Input should be a valid integer", "int_type");
	else if (!json_object_is_type(v, json_type_int) &&
		 !json_object_is_type(v, json_type_double))
		add_error(errors, f->name, "Input should be a valid number", "float_type");
	else if (!isfinite(value) || (f->min < f->max && (value < f->min || value > f->max)))
		add_error(errors, f->name, "Input is out of range", "out_of_range");
}

static void check_id(const struct field *f, struct json_object *v, struct json_object *errors)
{
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		check_text(f, v, errors);
}

static void check_texts(const struct field *f, struct json_object *v, struct json_object *errors)
{
	if (!json_object_is_type(v, json_type_array)) {
		add_error(errors, f->name, "Input should be a valid list", "list_type");
		return;
	}
	size_t count = json_object_array_length(v);
	if (count > LIST_LONGEST)
		add_error(errors, f->name, "List is too long", "too_long");
	struct field item = { .name = f->name, .words = f->words };
	for (size_t i = 0; i < count && i < LIST_LONGEST; i++)
		check_text(&item, json_object_array_get_idx(v, i), errors);
}

static void check_field(const struct field *f, struct json_object *v, struct json_object *errors)
{
	switch (f->type) {
	case FIELD_TEXT:
		check_text(f, v, errors);
		break;
	case FIELD_INT:
	case FIELD_NUMBER:
		check_number(f, v, errors);
		break;
	case FIELD_BOOL:
		if (!json_object_is_type(v, json_type_boolean))
			add_error(errors, f->name, "Input should be a valid boolean", "bool_type");
		break;
	case FIELD_TEXTS:
		check_texts(f, v, errors);
		break;
	case FIELD_OBJECT:
		if (!json_object_is_type(v, json_type_object))
			add_error(errors, f->name, "Input should be a valid object", "dict_type");
		break;
	case FIELD_ID:
		check_id(f, v, errors);
		break;
	case FIELD_ANY:
		break;
	}
}

bool fields_check(const struct field *fields, struct json_object *body, struct json_object **ret)
{
	struct json_object *errors = json_object_new_array();
	for (const struct field *f = fields; f->name; f++) {
		struct json_object *v = NULL;
		bool given = json_object_object_get_ex(body, f->name, &v);
		if (v)
			check_field(f, v, errors);
		else if (f->required)
			add_error(errors, f->name,
				  given ? "Input should not be null" : "Field required", "missing");
	}
	*ret = errors;
	if (json_object_array_length(errors))
		return false;
	json_object_put(errors);
	*ret = NULL;
	return true;
}

static struct json_object *type_schema(const struct field *f)
{
	static const char *const names[] = {
		[FIELD_TEXT] = "string",  [FIELD_INT] = "integer", [FIELD_NUMBER] = "number",
		[FIELD_BOOL] = "boolean", [FIELD_TEXTS] = "array", [FIELD_OBJECT] = "object",
	};
	struct json_object *o = json_object_new_object(), *inner = o;
	if (f->type == FIELD_ANY || f->type == FIELD_ID)
		return o;
	json_put(o, "type", json_object_new_string(names[f->type]));
	if (f->type == FIELD_TEXTS) {
		inner = json_object_new_object();
		json_put(inner, "type", json_object_new_string("string"));
		json_put(o, "items", inner);
	}
	if (f->words) {
		struct json_object *words = json_object_new_array();
		for (const char *const *w = f->words; *w; w++)
			json_object_array_add(words, json_object_new_string(*w));
		json_put(inner, "enum", words);
	}
	if (f->min < f->max) {
		json_put(o, "minimum", json_object_new_double(f->min));
		json_put(o, "maximum", json_object_new_double(f->max));
	}
	return o;
}

struct json_object *fields_schema(const struct field *fields)
{
	struct json_object *o = json_object_new_object(), *properties = json_object_new_object();
	struct json_object *required = json_object_new_array();
	json_put(o, "type", json_object_new_string("object"));
	for (const struct field *f = fields; f->name; f++) {
		json_put(properties, f->name, type_schema(f));
		if (f->required)
			json_object_array_add(required, json_object_new_string(f->name));
	}
	json_put(o, "properties", properties);
	json_put(o, "required", required);
	return o;
}

int fields_mask(const struct field *fields, struct json_object *body, unsigned what)
{
	int sum = 0;
	for (const struct field *f = fields; f->name; f++) {
		int n = f->mask & what ? mask_member(body, f->name, f->mask & what) : 0;
		if (n < 0)
			return n;
		sum += n;
	}
	return sum;
}
