/* What the options allow, judged in this process. */
#include <curl/curl.h>
#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/c/client.h"

enum { WINDOW_S = 60 };

/* Resolves . and .. and doubled slashes of an absolute path in place; symbolic links are not followed. */
static void normalize(char *path)
{
	char *out = path;
	for (const char *in = path; *in;) {
		in += strspn(in, "/");
		size_t len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (len && !(len == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

static bool any_matches(char *const *patterns, const char *resource)
{
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, resource, 0) == 0)
			return true;
	return false;
}

static bool listed(char *const *words, const char *word)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

bool profile_forbids(const struct vs_client *c, const char *type, const char *resource, char *out,
		     size_t size)
{
	/* A path is judged as it is written and as it is meant. */
	char *meant = strdup(resource);
	if (meant && *meant == '/')
		normalize(meant);
	if (!meant)
		snprintf(out, size, "out of memory");
	else if (c->types && !listed(c->types, type))
		snprintf(out, size, "Action type '%s' is not allowed for this agent", type);
	else if (c->blocked &&
		 (any_matches(c->blocked, resource) || any_matches(c->blocked, meant)))
		snprintf(out, size, "Resource '%.300s' is blocked for this agent", resource);
	else if (c->allowed &&
		 !(any_matches(c->allowed, resource) && any_matches(c->allowed, meant)))
		snprintf(out, size, "Resource '%.300s' is not allowed for this agent", resource);
	else
		*out = '\0';
	free(meant);
	return *out != '\0';
}

bool profile_too_many(struct vs_client *c, bool count)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	pthread_mutex_lock(&c->lock);
	/* the slot that comes next holds the action that was rate actions ago */
	int64_t oldest = c->times[c->next_time];
	bool full = oldest && oldest > now - (int64_t)WINDOW_S * 1000000000;
	if (count && !full) {
		c->times[c->next_time] = now;
		c->next_time = (c->next_time + 1) % c->rate;
	}
	pthread_mutex_unlock(&c->lock);
	return full;
}

static void put_list(struct json_object *o, const char *name, char *const *list)
{
	if (!list)
		return;
	struct json_object *array = json_object_new_array();
	for (; *list; list++)
		json_object_array_add(array, json_object_new_string(*list));
	put(o, name, array);
}

static int patch(struct vs_client *c, const char *agent, const char *tail, struct json_object *body,
		 struct vs_error *err)
{
	struct json_object *answer = NULL;
	char *quoted = curl_easy_escape(NULL, agent, 0), *path = NULL;
	if (quoted && asprintf(&path, "/api/agents/%s%s", quoted, tail) < 0)
		path = NULL;
	int r = path ? request(c, "PATCH", path, body, 0, &answer, err)
		     : error_set(err, ENOMEM, "out of memory");
	json_object_put(answer);
	curl_free(quoted);
	free(path);
	return r;
}

int profile_sync(struct vs_client *c, const char *agent, struct vs_error *err)
{
	static const char *const modes[] = {
		[VS_ALERT] = "alert", [VS_PAUSE] = "pause", [VS_ROLLBACK] = "rollback"
	};
	bool given = c->types || c->allowed || c->blocked || c->rate_given || c->max_risk_given;
	if (!given && c->mode == VS_ALERT)
		return 0;
	struct json_object *profile = json_object_new_object(), *mode = json_object_new_object();
	put_list(profile, "allowed_action_types", c->types);
	put_list(profile, "allowed_resources", c->allowed);
	put_list(profile, "blocked_resources", c->blocked);
	if (c->rate_given)
		put(profile, "max_actions_per_minute", json_object_new_int64(c->rate));
	if (c->max_risk_given)
		put(profile, "max_risk_score", json_object_new_double(c->max_risk));
	put_text(mode, "kill_switch_mode", modes[c->mode]);
	int r = patch(c, agent, "/profile", profile, err);
	/* alert is what was not asked for: it must not undo a stricter mode of the server's */
	if (r == 0 && c->mode != VS_ALERT)
		r = patch(c, agent, "", mode, err);
	json_object_put(profile);
	json_object_put(mode);
	return r;
}
