#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policies/policy_loader.h"

#include "base/nearest.h"

enum { LIST_MAX = 4096, EXPANDED_MAX = 4096 + 1 };

int loader_fail(const struct loader *l, const struct json_line *at, const char *fmt, ...)
{
	char text[384], pointer[128];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!at)
		return err_set(l->err, EINVAL, "%s: %s", l->file, text);
	json_lines_pointer(at, pointer, sizeof(pointer));
	return err_set(l->err, EINVAL, "%s:%u: %s%s%s", l->file, at->line, pointer,
		       pointer[0] ? ": " : "", text);
}

int loader_no_memory(const struct loader *l)
{
	return err_sys(l->err, ENOMEM, "%s", l->file);
}

const char *value_type(const struct value *v)
{
	switch (json_object_get_type(v->json)) {
	case json_type_null:
		return "null";
	case json_type_boolean:
		return "a boolean";
	case json_type_double:
	case json_type_int:
		return "a number";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "a list";
	case json_type_string:
		return "a string";
	}
	return "nothing";
}

int value_expect(const struct loader *l, const struct value *v, enum json_type type,
		 const char *what)
{
	if (json_object_get_type(v->json) != type)
		return loader_fail(l, v->at, "expected %s, found %s", what, value_type(v));
	/* "\u0000" would end the text early and change what it means. */
	if (type == json_type_string &&
	    strlen(json_object_get_string(v->json)) != (size_t)json_object_get_string_len(v->json))
		return loader_fail(l, v->at, "the text holds a NUL");
	return 0;
}

/* The value of a name between ${ and }, or of ~. */
static int expansion(const struct loader *l, const struct json_line *at, const char *name,
		     size_t len, const char **ret)
{
	const struct {
		const char *name, *value;
	} known[] = {
		{ "WORKSPACE", l->store->workspace },
		{ "TMPDIR", l->store->tmpdir },
		{ "HOME", l->store->home },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) != len || strncmp(known[i].name, name, len) != 0)
			continue;
		if (!known[i].value)
			return loader_fail(l, at, "${%s} is not known here", known[i].name);
		*ret = known[i].value;
		return 0;
	}
	return loader_fail(l, at, "${%.*s} is not one of ${WORKSPACE}, ${TMPDIR}, ${HOME}",
			   len < 64 ? (int)len : 64, name);
}

/* Appends @value with its wildcard bytes escaped: it is a path, not a pattern. */
static bool put_path(char *out, size_t *used, const char *value, bool more)
{
	if (more && strcmp(value, "/") == 0)
		value = ""; /* ${WORKSPACE}/x in the root is /x */
	for (; *value; value++) {
		if (*used + 3 > EXPANDED_MAX)
			return false;
		if (strchr("*?[\\", *value))
			out[(*used)++] = '\\';
		out[(*used)++] = *value;
	}
	return true;
}

static int expand(const struct loader *l, const struct json_line *at, const char *text,
		  char out[static EXPANDED_MAX])
{
	size_t used = 0;
	const char *value;
	int rc;
	if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
		rc = expansion(l, at, "HOME", 4, &value);
		if (rc)
			return rc;
		put_path(out, &used, value, text[1] == '/');
		text++;
	}
	for (; *text; text++) {
		if (strncmp(text, "${", 2) == 0) {
			size_t len = strcspn(text + 2, "}");
			if (!text[2 + len])
				return loader_fail(l, at, "a ${ has no }");
			rc = expansion(l, at, text + 2, len, &value);
			if (rc)
				return rc;
			text += 2 + len;
			if (!put_path(out, &used, value, text[1] == '/'))
				break;
		} else if (used + 1 < EXPANDED_MAX) {
			out[used++] = *text;
		} else {
			break;
		}
	}
	if (*text || used >= EXPANDED_MAX)
		return loader_fail(l, at, "a pattern is longer than %d bytes", EXPANDED_MAX - 1);
	out[used] = '\0';
	return 0;
}

int path_pattern(const struct loader *l, const struct json_line *at, const char *text,
		 struct pattern *ret)
{
	char expanded[EXPANDED_MAX];
	struct err why = { "" };
	int rc = expand(l, at, text, expanded);
	if (rc)
		return rc;
	const char *kept = arena_strndup(&l->store->arena, expanded, strlen(expanded));
	if (!kept)
		return loader_no_memory(l);
	rc = pattern_compile_path(kept, ret, &why);
	return rc ? loader_fail(l, at, "%s", why.text) : 0;
}

static int host_pattern(const struct loader *l, const struct json_line *at, const char *text,
			struct pattern *ret)
{
	struct err why = { "" };
	const char *kept = arena_strndup(&l->store->arena, text, strlen(text));
	if (!kept)
		return loader_no_memory(l);
	int rc = pattern_compile_host(kept, ret, &why);
	return rc ? loader_fail(l, at, "%s", why.text) : 0;
}

/* An exception to a block is for public certificates alone; any other would be a hole. */
static bool names_certificates(const char *text)
{
	static const char *const places[] = { "/etc/ssl/",
					      "/etc/pki/",
					      "/etc/ca-certificates/",
					      "/usr/share/ca-certificates/",
					      "/usr/lib/ssl/",
					      "/usr/local/share/ca-certificates/",
					      "/usr/share/pki/",
					      "/usr/local/ssl/" };
	static const char *const bundles[] = { "cacert.pem", "ca-bundle.pem",
					       "ca-certificates.pem" };
	if (strstr(text, "private"))
		return false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strncmp(text, places[i], strlen(places[i])) == 0)
			return true;
	size_t len = strlen(text);
	for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++) {
		size_t n = strlen(bundles[i]);
		if (len >= n && strcmp(text + len - n, bundles[i]) == 0)
			return true;
	}
	return false;
}

/* Room for one more in an array that doubles; the old copy stays in the arena. */
static void *grown(const struct loader *l, void *items, unsigned count, size_t size)
{
	if (count != 0 && (count & (count - 1)) != 0)
		return items;
	void *more = arena_alloc(&l->store->arena, size * (count ? 2 * (size_t)count : 1));
	if (more && count)
		memcpy(more, items, size * count);
	return more;
}

int list_append(const struct loader *l, struct policy_patterns *list, enum list_kind kind,
		const char *text, const char *group, const struct json_line *at)
{
	struct policy_pattern item = { .name = group, .origin = { l->file, at ? at->line : 0 } };
	int rc = kind == LIST_HOSTS ? host_pattern(l, at, text, &item.pattern)
				    : path_pattern(l, at, text, &item.pattern);
	if (rc)
		return rc;
	if (kind == LIST_SYSTEM_CA && !names_certificates(text))
		return loader_fail(l, at, "\"%s\" is no place of public CA certificates", text);
	if (list->count >= LIST_MAX)
		return loader_fail(l, at, "a list has more than %d patterns", LIST_MAX);
	struct policy_pattern *items = grown(l, list->items, list->count, sizeof(item));
	if (!items)
		return loader_no_memory(l);
	items[list->count++] = item;
	list->items = items;
	list->present = true;
	return 0;
}

static int list_texts(const struct loader *l, struct value v, struct policy_patterns *list,
		      enum list_kind kind, const char *group);

static int list_group(const struct loader *l, struct value v, struct policy_patterns *list,
		      enum list_kind kind)
{
	static const char *const known[] = { "name", "patterns", NULL };
	const char *name = NULL;
	const struct json_line *patterns = NULL;
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		struct value member = { json_object_object_get(v.json, c->key), c };
		if (strcmp(c->key, "name") == 0) {
			int rc = value_expect(l, &member, json_type_string, "a string");
			if (rc)
				return rc;
			const char *text = json_object_get_string(member.json);
			name = arena_strndup(&l->store->arena, text, strlen(text));
			if (!name)
				return loader_no_memory(l);
		} else if (strcmp(c->key, "patterns") == 0) {
			patterns = c;
		} else {
			const char *near = nearest_word(c->key, known, sizeof(*known));
			return loader_fail(l, c, "unknown key%s%s%s",
					   near ? "; did you mean \"" : "", near ? near : "",
					   near ? "\"?" : "");
		}
	}
	if (!name || !patterns)
		return loader_fail(l, v.at, "a group needs \"name\" and \"patterns\"");
	struct value texts = { json_object_object_get(v.json, "patterns"), patterns };
	return list_texts(l, texts, list, kind, name);
}

static int list_texts(const struct loader *l, struct value v, struct policy_patterns *list,
		      enum list_kind kind, const char *group)
{
	int rc = value_expect(l, &v, json_type_array, "a list of patterns");
	if (rc)
		return rc;
	list->present = true;
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		struct value item = { json_object_array_get_idx(v.json, c->index), c };
		if (!group && json_object_is_type(item.json, json_type_object)) {
			rc = list_group(l, item, list, kind);
		} else {
			rc = value_expect(l, &item, json_type_string, "a pattern");
			if (rc == 0)
				rc = list_append(l, list, kind, json_object_get_string(item.json),
						 group, c);
		}
		if (rc)
			return rc;
	}
	return 0;
}

int list_apply(const struct loader *l, struct value v, struct policy_patterns *list,
	       enum list_kind kind)
{
	return list_texts(l, v, list, kind, NULL);
}

int port_append(const struct loader *l, uint16_t **ports, unsigned *count, uint16_t port)
{
	for (unsigned i = 0; i < *count; i++)
		if ((*ports)[i] == port)
			return 0;
	uint16_t *items = grown(l, *ports, *count, sizeof(**ports));
	if (!items)
		return loader_no_memory(l);
	items[(*count)++] = port;
	*ports = items;
	return 0;
}

int ports_apply(const struct loader *l, struct value v, uint16_t **ports, unsigned *count)
{
	int rc = value_expect(l, &v, json_type_array, "a list of ports");
	for (const struct json_line *c = v.at->first; rc == 0 && c; c = c->next) {
		struct json_object *item = json_object_array_get_idx(v.json, c->index);
		int64_t port = json_object_get_int64(item);
		if (!json_object_is_type(item, json_type_int) || port < 1 || port > 65535)
			return loader_fail(l, c, "expected a port from 1 to 65535");
		rc = port_append(l, ports, count, (uint16_t)port);
	}
	return rc;
}

/* 1..65535 in decimal up to @end; 0: it is none. */
static uint16_t port_number(const char *text, const char *end)
{
	uint32_t value = 0;
	if (end == text || end - text > 5)
		return 0;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (uint32_t)(*text - '0');
	}
	return value <= UINT16_MAX ? (uint16_t)value : 0;
}

int publish_append(const struct loader *l, const struct json_line *at, const char *text)
{
	struct policy *p = l->p;
	const char *colon = strchr(text, ':'), *end = text + strlen(text);
	uint16_t host = port_number(text, colon ? colon : end);
	uint16_t inside = colon ? port_number(colon + 1, end) : host;
	if (!host || !inside)
		return loader_fail(l, at, "\"%s\" is no port from 1 to 65535%s", text,
				   colon ? ", or two as in 8080:80" : "");
	for (unsigned i = 0; i < p->publish_count; i++) {
		if (p->publish[i].host != host)
			continue;
		return p->publish[i].inside == inside
			       ? 0
			       : loader_fail(l, at, "port %u is published twice", host);
	}
	struct policy_publish *items = grown(l, p->publish, p->publish_count, sizeof(*items));
	if (!items)
		return loader_no_memory(l);
	items[p->publish_count++] = (struct policy_publish){ .host = host, .inside = inside };
	p->publish = items;
	return 0;
}

int publish_apply(const struct loader *l, struct value v)
{
	int rc = value_expect(l, &v, json_type_array, "a list of ports");
	for (const struct json_line *c = v.at->first; rc == 0 && c; c = c->next) {
		struct json_object *item = json_object_array_get_idx(v.json, c->index);
		if (!json_object_is_type(item, json_type_int) &&
		    !json_object_is_type(item, json_type_string))
			return loader_fail(l, c, "expected a port, or two as in \"8080:80\"");
		rc = publish_append(l, c, json_object_get_string(item));
	}
	return rc;
}
