#include "control/call.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "control/json.h"
#include "control/live.h"
#include "control/logins.h"
#include "control/metrics.h"
#include "control/rates.h"

enum {
	DEPTH_MAX = 32,
	BATCH_MAX = 1000,
	/* Of a body: an empty list has two bytes, and is a hundred times that in memory. */
	VALUES_MAX = 1 << 17,
};

int call_refuse(struct call *c, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_put(c->reply);
	c->status = status;
	c->reply = json_object_new_object();
	json_put(c->reply, "detail", json_object_new_string(text));
	return 0;
}

static int refuse_with(struct call *c, struct json_object *errors)
{
	json_object_put(c->reply);
	c->status = 422;
	c->reply = json_object_new_object();
	json_put(c->reply, "detail", errors);
	return 0;
}

/* Answers 422 in the shape of the contract. Returns 0. */
static int invalid(struct call *c, const char *msg, const char *type)
{
	struct json_object *list = json_object_new_array(), *o = json_object_new_object();
	struct json_object *loc = json_object_new_array();
	/* of a call that reads no body, it was the query */
	json_object_array_add(loc, json_object_new_string(c->route->fields ? "body" : "query"));
	json_put(o, "loc", loc);
	json_put(o, "msg", json_object_new_string(msg));
	json_put(o, "type", json_object_new_string(type));
	json_object_array_add(list, o);
	return refuse_with(c, list);
}

const char *call_text(const struct call *c, const char *name)
{
	struct json_object *v = json_object_object_get(c->body, name);
	return v ? json_object_get_string(v) : NULL;
}

int call_read(struct call *c, store_fn *fn, void *arg, struct err *err)
{
	int64_t r = store_read(c->server->store, fn, arg, err);
	return r < 0 ? (int)r : 0;
}

int call_write(struct call *c, store_fn *fn, void *arg, struct err *err)
{
	int64_t r = store_write(c->server->store, fn, arg, err);
	return r < 0 ? (int)r : 0;
}

int call_announce(struct call *c, store_fn *fn, void *arg, struct err *err)
{
	int r = call_write(c, fn, arg, err);
	live_wrote(c->server->live);
	return r;
}

/* ---- the way of a request ---------------------------------------------------------------- */

/* One segment with its escapes undone: a "%2F" is a slash in a name, no separator. False: no text. */
static bool unescape(const char *segment, size_t len, char ret[static CALL_ID_SIZE])
{
	size_t used = 0;
	for (size_t i = 0; i < len && used < CALL_ID_SIZE; i++) {
		char hex[3] = { 0 };
		char *end = hex;
		if (segment[i] != '%') {
			ret[used++] = segment[i];
			continue;
		}
		if (i + 2 < len && isxdigit((unsigned char)segment[i + 1])) {
			memcpy(hex, segment + i + 1, 2);
			ret[used++] = (char)strtoul(hex, &end, 16);
			i += 2;
		}
		if (end != hex + 2 || !ret[used - 1])
			return false;
	}
	if (used == 0 || used == CALL_ID_SIZE)
		return false;
	ret[used] = '\0';
	return true;
}

/* Whether @path, as it was sent, is of @pattern's shape; what stands for {…} goes to @ids. */
static bool matches(const char *pattern, const char *path, char ids[CALL_IDS][CALL_ID_SIZE])
{
	unsigned count = 0;
	while (*pattern) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		size_t len = strcspn(path, "/");
		if (count == CALL_IDS || !unescape(path, len, ids[count++]))
			return false;
		path += len;
		pattern += strcspn(pattern, "}") + 1;
	}
	return *path == '\0';
}

static const struct route *find_route(struct call *c, const char *method, const char *path,
				      bool *ret_path_known)
{
	*ret_path_known = false;
	for (const struct route *r = routes; r->method; r++) {
		char ids[CALL_IDS][CALL_ID_SIZE] = { 0 };
		if (!matches(r->path, path, ids))
			continue;
		*ret_path_known = true;
		if (strcmp(r->method, method) != 0)
			continue;
		memcpy(c->id, ids, sizeof(ids));
		return r;
	}
	return NULL;
}

struct lookup {
	const char *text;
	struct key *key;
};

static int64_t look_up_key(struct db *db, void *arg, struct err *err)
{
	struct lookup *l = arg;
	return key_find(db, l->text, l->key, err);
}

static int64_t look_up_login(struct db *db, void *arg, struct err *err)
{
	struct lookup *l = arg;
	return login_find(db, l->text, l->key, err);
}

/* A browser sends its cookie with whatever a page asks; only our own page can read the token. */
static bool proven(const struct call *c)
{
	return strcmp(c->route->method, "GET") == 0 || (c->csrf && login_proves(c->login, c->csrf));
}

/* True: the refusal is written. A call that waits and is run again counts once. */
static bool too_often(struct call *c, enum rate kind, const char *who)
{
	c->retry_after_s = c->again ? 0 : rate_take(c->server->rates, kind, who);
	if (c->retry_after_s)
		call_refuse(c, 429, "Too many requests");
	return c->retry_after_s != 0;
}

static bool may(struct call *c)
{
	if (c->route->roles == 0 || c->route->roles & c->key.role)
		return true;
	call_refuse(c, 403, "A key of role '%s' may not do this", role_name(c->key.role));
	return false;
}

/* True when the caller may go on; else the refusal is written. */
static bool admit(struct call *c, const char *key, struct err *err)
{
	bool by_key = key && *key, by_login = !by_key && c->login && *c->login;
	if (c->cross_site && strcmp(c->route->method, "GET") != 0) {
		call_refuse(c, 403, "Another site's page may not do this");
		return false;
	}
	if (c->route->roles == 0)
		return true;
	if (!by_key && !by_login) {
		call_refuse(c, 401, "Missing API key");
		return false;
	}
	struct lookup l = { .text = by_key ? key : c->login, .key = &c->key };
	int64_t r = store_read(c->server->store, by_key ? look_up_key : look_up_login, &l, err);
	if (r == -ENOENT) {
		if (!too_often(c, RATE_GUESS, c->peer))
			call_refuse(c, 401, by_key ? "Invalid API key" : "The login has ended");
		return false;
	}
	if (r < 0) {
		call_refuse(c, 503, "The store is not available");
		return false;
	}
	if (by_login && !proven(c)) {
		call_refuse(c, 403, "The header x-csrf-token is missing or wrong");
		return false;
	}
	return !too_often(c, RATE_KEY, c->key.id) && may(c);
}

static struct json_object *parse(const char *body, size_t len, const char **ret_why)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *o = json_tokener_parse_ex(tok, body, (int)len);
	enum json_tokener_error error = json_tokener_get_error(tok);
	if (error == json_tokener_continue &&
	    len > 0) /* a number at the end needs to be told that it ends */
		o = json_tokener_parse_ex(tok, "", 1), error = json_tokener_get_error(tok);
	*ret_why = error == json_tokener_success ? NULL : json_tokener_error_desc(error);
	if (error != json_tokener_success) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tok);
	return o;
}

static bool check_object(struct call *c, struct json_object *o)
{
	struct json_object *errors;
	if (!json_object_is_type(o, json_type_object)) {
		invalid(c, "Input should be a valid object", "dict_type");
		return false;
	}
	if (fields_check(c->route->fields, o, &errors))
		return true;
	refuse_with(c, errors);
	return false;
}

static bool read_body(struct call *c, const char *body, size_t len)
{
	const char *why = NULL;
	if (!c->route->fields)
		return true;
	if (len == 0) {
		c->body = json_object_new_object();
		return check_object(c, c->body);
	}
	if (json_values(body, len) > VALUES_MAX) {
		call_refuse(c, 413, "The body holds more than %d values", VALUES_MAX);
		return false;
	}
	c->body = parse(body, len, &why);
	if (why) {
		invalid(c, why, "json_invalid");
		return false;
	}
	if (!c->route->batch || !json_object_is_type(c->body, json_type_array))
		return check_object(c, c->body);
	size_t count = json_object_array_length(c->body);
	if (count > BATCH_MAX) {
		call_refuse(c, 413, "A batch holds at most %d actions", BATCH_MAX);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		if (!check_object(c, json_object_array_get_idx(c->body, i)))
			return false;
	return true;
}

static void answer_failure(struct call *c, int r, const struct err *err)
{
	if (r == -EINVAL) {
		invalid(c, err->text, "value_error");
	} else if (r == -EEXIST) {
		call_refuse(c, 409, "%s", err->text);
	} else if (r == -ENOENT) {
		call_refuse(c, 404, "Not Found");
	} else {
		c->retry_after_s = 1;
		call_refuse(c, 503, "The store is not available");
	}
}

static int mask(struct call *c, struct err *err)
{
	if (!c->route->fields || c->route->batch)
		return 0;
	int n = fields_mask(c->route->fields, c->body, c->server->mask);
	if (n < 0)
		return err_set(err, ENOMEM, "out of memory");
	metrics_add(c->server->metrics, METRIC_MASKED, (uint64_t)n);
	return 0;
}

static void run(struct call *c, struct err *err)
{
	int r = mask(c, err);
	if (r == 0)
		r = c->route->handle(c, err);
	if (r < 0)
		answer_failure(c, r, err);
}

void call_find(struct call *c, const char *method, const char *path)
{
	bool known;
	c->status = 200;
	c->route = find_route(c, method, path, &known);
	if (!c->route)
		call_refuse(c, known ? 405 : 404, known ? "Method Not Allowed" : "Not Found");
}

bool call_writes(const struct call *c)
{
	return c->route && !c->route->reads && strcmp(c->route->method, "GET") != 0;
}

void call_run(struct call *c, const char *key, const char *body, size_t len)
{
	struct err err = { "" };
	if (c->route && admit(c, key, &err) && read_body(c, body, len))
		run(c, &err);
}

void call_on_behalf(struct call *c, const char *method, const char *pattern,
		    struct json_object *body)
{
	struct err err = { "" };
	const struct route *r = routes;
	while (r->method && (strcmp(r->path, pattern) != 0 || strcmp(r->method, method) != 0))
		r++;
	c->status = 200;
	c->route = r;
	if (!r->method) {
		call_refuse(c, 404, "Not Found");
	} else if (may(c)) {
		c->body = json_object_get(body);
		if (!r->fields || check_object(c, c->body))
			run(c, &err);
	}
}
