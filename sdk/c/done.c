/* The last actions, and their reversal. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/c/client.h"

static void release(struct done *d)
{
	free((void *)(uintptr_t)d->action.type);
	free((void *)(uintptr_t)d->action.resource);
	free((void *)(uintptr_t)d->action.payload);
}

static void push(struct vs_client *c, const struct done *d)
{
	if (c->done_count == DONE_MAX) {
		release(&c->done[c->done_first]);
		c->done_first = (c->done_first + 1) % DONE_MAX;
		c->done_count--;
	}
	c->done[(c->done_first + c->done_count++) % DONE_MAX] = *d;
}

int done_remember(struct vs_client *c, const struct vs_action *a, const char *id)
{
	struct done d = { .action = { .type = strdup(a->type),
				      .resource = strdup(a->resource ? a->resource : ""),
				      .payload = a->payload ? strdup(a->payload) : NULL,
				      .rollback = a->rollback,
				      .arg = a->arg } };
	if (!d.action.type || !d.action.resource || (a->payload && !d.action.payload)) {
		release(&d);
		return -ENOMEM;
	}
	memcpy(d.id, id, sizeof(d.id));
	pthread_mutex_lock(&c->lock);
	push(c, &d);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void done_free_all(struct vs_client *c)
{
	for (; c->done_count; c->done_count--)
		release(&c->done[(c->done_first + c->done_count - 1) % DONE_MAX]);
}

/* Tells the server; what was reversed stays so when it does not hear of it. */
static int report(struct vs_client *c, const struct done *d, struct vs_error *err)
{
	char id[ID_SIZE];
	struct json_object *o = json_object_new_object(), *payload = json_object_new_object();
	struct json_object *answer = NULL;
	id_new(id);
	pthread_mutex_lock(&c->lock);
	put_text(o, "agent_id", c->agent);
	put_text(o, "session_id", c->session);
	pthread_mutex_unlock(&c->lock);
	put_text(o, "action_type", "rollback");
	put_text(o, "resource", d->action.resource);
	put_text(o, "action_id", id);
	put_text(o, "source", "c-sdk");
	put_text(payload, "action_id", d->id);
	put_text(payload, "action_type", d->action.type);
	put(o, "payload", payload);
	int r = request(c, "POST", "/api/actions", o, 0, &answer, err);
	json_object_put(answer);
	json_object_put(o);
	return r;
}

int vs_rollback(struct vs_client *c, unsigned count, struct vs_rollback_report *ret,
		struct vs_error *err)
{
	int told = 0;
	*ret = (struct vs_rollback_report){ 0 };
	while (count-- && ret->error == 0) {
		struct done d;
		pthread_mutex_lock(&c->lock);
		bool some = c->done_count > 0;
		if (some)
			d = c->done[(c->done_first + --c->done_count) % DONE_MAX];
		pthread_mutex_unlock(&c->lock);
		if (!some)
			break;
		/* without the lock, so that the callback may use the client */
		if (d.action.rollback)
			ret->error = d.action.rollback(&d.action, d.action.arg);
		if (ret->error) {
			error_set(err, ECANCELED, "%s %s could not be reversed: %s", d.action.type,
				  d.action.resource, strerror(abs(ret->error)));
			pthread_mutex_lock(&c->lock);
			push(c, &d);
			pthread_mutex_unlock(&c->lock);
			break;
		}
		ret->reversed += d.action.rollback != NULL;
		ret->irreversible += d.action.rollback == NULL;
		if (d.action.rollback && told == 0)
			told = report(c, &d, err);
		release(&d);
	}
	return ret->error ? ret->error : told;
}
