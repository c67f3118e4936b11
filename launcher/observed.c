#include "launcher/observed.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/replay.h"
#include "scoring/score.h"

enum { FIRST_DRAWN_PORT = 32768 }; /* net.ipv4.ip_local_port_range, as it comes */

/* Room for one more of @size in an array that doubles. */
static void *grown(void *items, size_t count, size_t size)
{
	if (count && (count & (count - 1)))
		return items;
	return reallocarray(items, count ? 2 * count : 1, size);
}

static int add_path(struct observed *o, const char *path, unsigned uses)
{
	struct observed_path *paths = grown(o->paths, o->path_count, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	o->paths = paths;
	char *kept = strdup(path);
	if (!kept)
		return -ENOMEM;
	paths[o->path_count++] = (struct observed_path){ kept, uses };
	return 0;
}

static int add_secret(struct observed *o, const struct action *a, const struct policy_pattern *hit)
{
	for (size_t i = 0; i < o->secret_count; i++) {
		if (o->secrets[i].type == a->type && !strcmp(o->secrets[i].path, a->resource)) {
			o->secrets[i].count++;
			return 0;
		}
	}
	struct observed_secret *secrets = grown(o->secrets, o->secret_count, sizeof(*secrets));
	if (!secrets)
		return -ENOMEM;
	o->secrets = secrets;
	char *kept = strdup(a->resource);
	if (!kept)
		return -ENOMEM;
	secrets[o->secret_count++] =
		(struct observed_secret){ kept, hit->name ? hit->name : hit->pattern.text, a->type,
					  1 };
	return 0;
}

/* Adds @text to a list of different texts. */
static int add_text(char ***list, size_t *count, const char *text)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp((*list)[i], text))
			return 0;
	char **longer = grown(*list, *count, sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	*list = longer;
	longer[*count] = strdup(text);
	return longer[(*count)++] ? 0 : -ENOMEM;
}

/*
 * The host of "scheme://user@host:port/path" or "host:port". A port of this machine that the kernel
 * drew, or was asked to draw, is another one the next time: the host alone then.
 */
static int add_host(struct observed *o, const char *resource)
{
	char text[300];
	size_t len;
	const char *host = action_authority(resource, &len);
	if (len == 0 || len >= sizeof(text))
		return 0; /* no pattern can be made of it: the proof will say so */
	memcpy(text, host, len);
	text[len] = '\0';
	char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	if (!colon || (bracketed && colon[-1] != ']'))
		return add_text(&o->hosts, &o->host_count, text);
	long port = strtol(colon + 1, NULL, 10);
	bool here = !strncmp(text, "127.", 4) || !strncmp(text, "[::1]", 5) ||
		    !strncmp(text, "localhost:", 10);
	if (port != 0 && !(here && port >= FIRST_DRAWN_PORT))
		return add_text(&o->hosts, &o->host_count, text);
	*colon = '\0';
	if (bracketed)
		colon[-1] = '\0';
	return add_text(&o->hosts, &o->host_count, bracketed ? text + 1 : text);
}

/* What the action makes and what it takes away, for the names that are drawn by lot. */
static unsigned life_of(const struct action *a)
{
	unsigned uses = a->provenance == PROVENANCE_CREATED ? OBSERVED_CREATED : 0;
	if (a->op == OP_CREATE || a->op == OP_MKDIR || a->op == OP_MKNOD || a->op == OP_SYMLINK)
		uses |= OBSERVED_CREATED;
	if (a->op == OP_DELETE || a->op == OP_RENAME)
		uses |= OBSERVED_GONE;
	return uses;
}

static int add_file(struct observed *o, const struct action *a, bool granted)
{
	unsigned use = a->type == ACTION_CODE_EXECUTION ? OBSERVED_EXEC
		       : a->type == ACTION_FILE_READ    ? OBSERVED_READ
							: OBSERVED_WRITE;
	unsigned life = life_of(a);
	int r = 0;
	if (!granted || life)
		r = add_path(o, a->resource, (granted ? 0 : use) | life);
	if (r == 0 && a->resource2 && a->resource2[0] == '/')
		r = add_path(o, a->resource2, (granted ? 0 : use) | OBSERVED_CREATED);
	return r;
}

/* The score of the same action when everything that may differ in another run is at its worst. */
static float worst_score(const struct json_object *event)
{
	struct json_object *scores, *one;
	float x[DIMENSION_COUNT] = { 0 };
	if (!json_object_object_get_ex(event, "scores", &scores))
		return 0;
	for (int d = 0; d < DIMENSION_COUNT; d++)
		if (json_object_object_get_ex(scores, dimension_name((enum dimension)d), &one))
			x[d] = (float)event_real(one, "x");
	x[DIMENSION_FREQUENCY] = x[DIMENSION_CONTEXT] = 1;
	return score_total(x);
}

/*
 * The interpreter of a script is judged with it and has no event of its own; what acts has been
 * executed. The caller of an exec is left out: the first is ours.
 */
static int add_program(struct observed *o, const struct action *a)
{
	const struct observed_path *last = o->path_count ? &o->paths[o->path_count - 1] : NULL;
	if (a->type == ACTION_CODE_EXECUTION || a->program[0] != '/' ||
	    (last && last->uses == OBSERVED_EXEC && !strcmp(last->path, a->program)))
		return 0;
	return add_path(o, a->program, OBSERVED_EXEC);
}

static int add_event(struct observed *o, const struct json_object *event, const struct action *a)
{
	struct policy_match m;
	policy_match(o->base, a, &m);
	o->actions++;
	if (m.blocked)
		return add_secret(o, a, m.blocked);
	o->types |= UINT32_C(1) << a->type;
	bool file = a->resource[0] == '/';
	bool granted = a->type == ACTION_CODE_EXECUTION ? !m.spawn_denied : m.resource_allowed;
	if (m.ambient && granted)
		o->ambient++;
	else if (granted)
		o->covered++;
	if (!m.ambient) {
		float score = worst_score(event);
		if (score > o->top_score)
			o->top_score = score;
	}
	int r = add_program(o, a);
	if (r == 0 && a->resource[0] == '@')
		return granted ? 0 : add_text(&o->sockets, &o->socket_count, a->resource);
	if (r == 0 && !file)
		return granted ? 0 : add_host(o, a->resource);
	return r == 0 ? add_file(o, a, granted) : r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct observed_path *)a)->path,
		      ((const struct observed_path *)b)->path);
}

static void unify(struct observed *o)
{
	size_t kept = 0;
	if (o->path_count)
		qsort(o->paths, o->path_count, sizeof(*o->paths), by_path);
	for (size_t i = 0; i < o->path_count; i++) {
		if (kept && !strcmp(o->paths[kept - 1].path, o->paths[i].path)) {
			o->paths[kept - 1].uses |= o->paths[i].uses;
			free(o->paths[i].path);
		} else {
			o->paths[kept++] = o->paths[i];
		}
	}
	o->path_count = kept;
}

int observed_read(int dirfd, const struct policy *base, struct observed *ret, struct err *err)
{
	struct eventfile f;
	struct eventfile_line line;
	struct replay_room room;
	struct action a;
	*ret = (struct observed){ .base = base };
	struct history *windows = history_new();
	if (!windows)
		return err_set(err, ENOMEM, "out of memory");
	int r = eventfile_open(dirfd, &f, err);
	while (r == 0) {
		int n = eventfile_next(&f, &line, err);
		if (n == 0)
			break;
		if (n < 0) { /* a proposal from half a log would deny the other half */
			r = n;
			break;
		}
		if (replay_action(line.json, &room, &a)) {
			r = add_event(ret, line.json, &a);
			if (r < 0)
				err_set(err, -r, "out of memory");
			struct policy_match m;
			policy_match(base, &a, &m);
			if (!m.ambient)
				history_note(windows, &a, true);
			unsigned minute = history_minute(windows, ACTION_NONE, a.mono_ns);
			if (minute > ret->peak_minute)
				ret->peak_minute = minute;
		}
		json_object_put(line.json);
	}
	eventfile_close(&f);
	history_free(windows);
	unify(ret);
	return r;
}

void observed_finish(struct observed *o)
{
	for (size_t i = 0; i < o->path_count; i++)
		free(o->paths[i].path);
	for (size_t i = 0; i < o->secret_count; i++)
		free(o->secrets[i].path);
	for (size_t i = 0; i < o->host_count; i++)
		free(o->hosts[i]);
	free(o->paths);
	free(o->secrets);
	for (size_t i = 0; i < o->socket_count; i++)
		free(o->sockets[i]);
	free(o->hosts);
	free(o->sockets);
}

struct collapse_path *observed_paths(const struct observed *o, unsigned use)
{
	struct collapse_path *paths = calloc(o->path_count + 1, sizeof(*paths));
	for (size_t i = 0; paths && i < o->path_count; i++)
		paths[i] = (struct collapse_path){
			.path = o->paths[i].path,
			.listed = o->paths[i].uses & use,
			.created = o->paths[i].uses & OBSERVED_CREATED,
			.gone = o->paths[i].uses & OBSERVED_GONE,
		};
	return paths;
}

size_t observed_count(const struct observed *o, unsigned use)
{
	size_t count = 0;
	for (size_t i = 0; i < o->path_count; i++)
		count += (o->paths[i].uses & use) != 0;
	return count;
}
