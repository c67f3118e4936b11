/*
 * Requests as the server gets them once HTTP is taken off: method, path, query and body, by somebody with every right.
 * Routes, fields, JSON, masks and handlers run on a store of their own. Whatever comes is answered, and never with 500.
 */
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/alerts.h"
#include "control/call.h"
#include "control/live.h"
#include "control/metrics.h"
#include "control/rates.h"
#include "scoring/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_MAX = 1024 };

static char directory[] = "/tmp/vsandbox-fuzz-XXXXXX";
static char db_path[64], admin[KEY_TEXT_SIZE];

static void remove_store(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char path[80];
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", db_path, suffixes[i]);
		unlink(path);
	}
	rmdir(directory);
}

static int64_t make_key(struct db *db, void *arg, struct err *err)
{
	struct key key;
	return key_create(db, "fuzz", ROLE_ADMIN, arg, &key, err);
}

/* Once a process; its store goes with it. */
static struct server *server_of(void)
{
	static struct server s;
	struct err err;
	if (s.store)
		return &s;
	if (!mkdtemp(directory))
		abort();
	snprintf(db_path, sizeof(db_path), "%s/x.db", directory);
	atexit(remove_store);
	s.evaluator = evaluator_new();
	s.rates = rates_new(0);
	s.metrics = metrics_new();
	s.mask = MASK_ALL;
	s.alert_window_us = ALERT_WINDOW_S * 1000000LL;
	if (store_open(db_path, &s.store, &err) < 0 || !s.evaluator || !s.rates || !s.metrics ||
	    !(s.live = live_new(s.store)) || store_write(s.store, make_key, admin, &err) < 0)
		abort();
	return &s;
}

/* c->connection is the text after the ?: "name=value&…", not quoted. */
static const char *query(const struct call *c, const char *name)
{
	static char value[HEAD_MAX];
	size_t len = strlen(name);
	for (const char *p = c->connection; p && *p; p += *p == '&') {
		size_t part = strcspn(p, "&");
		if (part > len && memcmp(p, name, len) == 0 && p[len] == '=') {
			snprintf(value, sizeof(value), "%.*s", (int)(part - len - 1), p + len + 1);
			return value;
		}
		p += part;
	}
	return NULL;
}

static void check_answer(const struct call *c)
{
	if (c->status < 200 || c->status == 500 || c->status > 599)
		abort();
	if (!c->reply && !c->text && !c->stream)
		abort();
	if (c->status >= 400 && !json_object_object_get_ex(c->reply, "detail", NULL))
		abort();
	if (c->reply)
		json_object_to_json_string_ext(c->reply, JSON_C_TO_STRING_PLAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server *server = server_of();
	const uint8_t *line = memchr(data, '\n', size);
	size_t len = line ? (size_t)(line - data) : size;
	char head[HEAD_MAX];
	if (len >= sizeof(head))
		return 0;
	memcpy(head, data, len);
	head[len] = '\0';
	size_t body_len = line ? size - len - 1 : 0;
	char *body = malloc(body_len + 1); /* its own, so that a byte beyond it is seen */
	char *path = strchr(head, ' '), *mark = path ? strchr(path, '?') : NULL;
	if (!body || !path) {
		free(body);
		return 0;
	}
	*path++ = '\0';
	if (mark)
		*mark++ = '\0';
	if (body_len)
		memcpy(body, line + 1, body_len);
	struct call c = { .server = server, .query = query, .connection = mark };
	c.first_us = 1; /* long ago: nothing is waited for */
	call_find(&c, head, path);
	call_run(&c, admin, body, body_len);
	if (!c.wait_us)
		check_answer(&c);
	json_object_put(c.reply);
	json_object_put(c.body);
	json_object_put(c.memo);
	free(c.text);
	free(body);
	return 0;
}
