#include "control/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct json_object *json_time(int64_t us)
{
	char text[64];
	struct tm tm;
	time_t at = (time_t)(us / 1000000);
	if (us <= 0 || !gmtime_r(&at, &tm))
		return NULL;
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%06d+00:00", (int)(us % 1000000));
	return json_object_new_string(text);
}

int json_time_parse(const char *text, int64_t *ret_us)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!p)
		p = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (!p)
		return -EINVAL;
	int64_t fraction = 0, offset = 0;
	if (*p == '.') {
		int64_t unit = 100000;
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (*p == '+' || *p == '-') {
		int hours, minutes = 0;
		char sign = *p++;
		if (sscanf(p, "%2d:%2d", &hours, &minutes) < 1 &&
		    sscanf(p, "%2d%2d", &hours, &minutes) < 1)
			return -EINVAL;
		offset = (int64_t)(hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
	} else if (*p && strcmp(p, "Z") != 0) {
		return -EINVAL;
	}
	*ret_us = ((int64_t)timegm(&tm) - offset) * 1000000 + fraction;
	return 0;
}

size_t json_score_text(double value, char text[static JSON_SCORE_SIZE])
{
	double rounded = isfinite(value) ? round(value * 10000) : 0;
	int ten_thousandths = (int)rounded;
	if (rounded < 0 || rounded >= 10000) /* no score, or 1 */
		return (size_t)snprintf(text, JSON_SCORE_SIZE, "%.4g", rounded / 10000);
	size_t len = 0;
	text[len++] = '0';
	if (ten_thousandths)
		text[len++] = '.';
	for (int unit = 1000; ten_thousandths; ten_thousandths %= unit, unit /= 10)
		text[len++] = (char)('0' + ten_thousandths / unit);
	text[len] = '\0';
	return len;
}

struct json_object *json_score(double value)
{
	char text[JSON_SCORE_SIZE];
	json_score_text(value, text);
	return json_object_new_double_s(isfinite(value) ? round(value * 10000) / 10000 : 0, text);
}

static const double latest_s = 253402300800; /* the year 10000; what comes from beyond is no time */

int64_t json_time_given(struct json_object *v)
{
	double s = json_object_get_double(v);
	int64_t us;
	if (json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double))
		return s >= 0 && s < latest_s ? (int64_t)(s * 1e6) : 0;
	return json_object_is_type(v, json_type_string) &&
			       json_time_parse(json_object_get_string(v), &us) == 0
		       ? us
		       : 0;
}

struct json_object *json_stored(const char *text)
{
	return text && *text ? json_tokener_parse(text) : NULL;
}

struct json_object *json_verbatim(const char *text)
{
	char *copy = text && *text ? strdup(text) : NULL;
	struct json_object *o = copy ? json_object_new_object() : NULL;
	if (o)
		json_object_set_serializer(o, json_object_userdata_to_json_string, copy,
					   json_object_free_userdata);
	else
		free(copy);
	return o;
}

struct json_object *json_text(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

const char *json_member(struct json_object *o, const char *name)
{
	const char *text = json_object_get_string(json_object_object_get(o, name));
	return text ? text : "";
}

void json_put(struct json_object *o, const char *name, struct json_object *value)
{
	json_object_object_add_ex(o, name, value, JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

size_t json_values(const char *text, size_t len)
{
	size_t count = 1;
	bool quoted = false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			quoted = !quoted;
		else if (quoted && text[i] == '\\')
			i++;
		else if (!quoted && (text[i] == ',' || text[i] == '[' || text[i] == '{'))
			count++;
	}
	return count;
}
