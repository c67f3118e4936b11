#include "launcher/effects.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/term.h"

static struct effect *find(struct effects *e, const char *resource)
{
	for (unsigned i = 0; i < e->count; i++)
		if (strcmp(e->items[i].resource, resource) == 0)
			return &e->items[i];
	if (e->count > EFFECTS_MAX)
		return &e->items[EFFECTS_MAX];
	struct effect *new = &e->items[e->count];
	new->resource = strdup(e->count == EFFECTS_MAX ? "others" : resource);
	if (!new->resource)
		return NULL;
	e->count++;
	return new;
}

void effects_note(struct effects *e, const struct event *event)
{
	const struct action *a = &event->action;
	if (event->kind != EVENT_CONNECTION_END)
		return;
	struct effect *f = find(e, a->resource);
	if (!f)
		return;
	f->count++;
	f->failed += event->result < 0 && !event->bytes_out && !event->bytes_in;
	f->handed_over += a->protocol && strcmp(a->protocol, EVENT_HANDED_OVER) == 0;
	f->bytes_out += event->bytes_out;
	f->bytes_in += event->bytes_in;
}

void effects_json(FILE *f, const struct effects *e)
{
	fputc('[', f);
	for (unsigned i = 0; i < e->count; i++) {
		const struct effect *x = &e->items[i];
		fputs(i ? ",{" : "{", f);
		json_member(f, true, "resource", x->resource);
		fprintf(f,
			",\"connections\":%llu,\"failed\":%llu,\"handed_over\":%llu,"
			"\"bytes_out\":%llu,\"bytes_in\":%llu}",
			(unsigned long long)x->count, (unsigned long long)x->failed,
			(unsigned long long)x->handed_over, (unsigned long long)x->bytes_out,
			(unsigned long long)x->bytes_in);
	}
	fputc(']', f);
}

/* "1.4 MB" and the like. */
static void put_bytes(FILE *f, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
	double value = (double)bytes;
	unsigned unit = 0;
	for (; value >= 1000 && unit < 4; unit++)
		value /= 1000;
	fprintf(f, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void effects_print(FILE *f, const char *prefix, struct json_object *list)
{
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count && i < EFFECTS_LISTED; i++) {
		const struct json_object *x = json_object_array_get_idx(list, i);
		long long failed = event_number(x, "failed"), n = event_number(x, "connections");
		long long handed = event_number(x, "handed_over");
		fputs(prefix, f);
		term_text(f, event_text(x, "resource"));
		fprintf(f, ": %lld connection%s, ", n, n == 1 ? "" : "s");
		put_bytes(f, (uint64_t)event_number(x, "bytes_out"));
		fputs(" sent, ", f);
		put_bytes(f, (uint64_t)event_number(x, "bytes_in"));
		fputs(" received", f);
		if (failed)
			fprintf(f, " (%lld failed)", failed);
		if (handed)
			fprintf(f, " (%lld handed over: bytes not counted)", handed);
		fputc('\n', f);
	}
	if (count > EFFECTS_LISTED)
		fprintf(f, "%sand %zu more\n", prefix, count - EFFECTS_LISTED);
}

void effects_list(const struct effects *e, int fd)
{
	cleanup_free char *text = NULL, *lines = NULL;
	size_t len = 0, lines_len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return;
	effects_json(f, e);
	if (fclose(f) != 0)
		return;
	struct json_object *list = json_tokener_parse(text);
	f = open_memstream(&lines, &lines_len);
	if (f) {
		effects_print(f, "  ", list);
		if (fclose(f) == 0)
			dprintf(fd, "%s", lines);
	}
	json_object_put(list);
}

void effects_finish(struct effects *e)
{
	for (unsigned i = 0; i < e->count; i++)
		free(e->items[i].resource);
	e->count = 0;
}
