/* Requests and statements, as the inspector tells of them, become actions and are judged. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sandbox/network_private.h"
#include "scoring/standing.h"

/* What the inspector tells of, as an action; its strings are @p's and @resource. */
static struct action statement_of(const struct connection *c, const struct broker_packet *p,
				  char *resource, size_t size)
{
	const char *end = p->text + (p->m.text_len ? p->m.text_len - 1 : 0);
	const char *database = p->text + strlen(p->text) + 1;
	const char *text = database < end ? database + strlen(database) + 1 : end;
	struct action a = c->action;
	/* The inspector says what a statement does; never that it is another kind of action. */
	a.type = p->m.action_type == ACTION_DATABASE_QUERY ? ACTION_DATABASE_QUERY
							   : ACTION_DATABASE_WRITE;
	a.op = OP_QUERY;
	snprintf(resource, size, "%.32s://%s/%.255s", p->text, c->action.resource,
		 database < end ? database : "");
	a.resource = resource;
	a.statement = text <= end ? text : "";
	a.statement_flags = p->m.statement_flags ? p->m.statement_flags : STATEMENT_UNKNOWN;
	return a;
}

/*
 * A request: "METHOD /path" of the host it names, which need not be the one that was resolved; then it
 * is judged as a call of that other one. @host "": it named none. False: not well formed.
 */
static bool request_of(const struct connection *c, const struct broker_packet *p, char *resource,
		       size_t size, struct action *ret)
{
	const char *end = p->text + (p->m.text_len ? p->m.text_len - 1 : 0);
	const char *host = p->text + strlen(p->text) + 1;
	const char *text = host < end ? host + strlen(host) + 1 : end;
	bool https = strcmp(p->text, "https") == 0;
	char name[DNS_NAME_SIZE + 64], port[8] = "";
	const char *path = text < end ? strchr(text, '/') : "";
	if (host > end || !path || (!https && strcmp(p->text, "http") != 0))
		return false;
	/* "host:port" or "[v6]:port", as it was decided */
	const char *colon = strrchr(c->action.resource, ':');
	snprintf(name, sizeof(name), "%.*s",
		 (int)(colon ? colon - c->action.resource : (ptrdiff_t)strlen(c->action.resource)),
		 c->action.resource);
	*ret = c->action;
	/* "[v6]" of a URL, or the bare address */
	size_t len = strlen(c->address), bracket = *host == '[';
	bool numeric = len && strncasecmp(host + bracket, c->address, len) == 0 &&
		       strlen(host + bracket) == len + bracket;
	if (*host && !numeric && strcasecmp(host, name) != 0) {
		/* That its address is listed for the name that was resolved says nothing of this one. */
		ret->address = NULL;
		ret->alias = c->action.resource;
		ret->resolved = false;
		snprintf(name, sizeof(name), "%s", host);
	}
	if (c->action.port != (https ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", c->action.port);
	ret->type = ACTION_API_CALL;
	ret->op = OP_CONNECT;
	int n = snprintf(resource, size, "%s://%s%s%s", p->text, name, port, path);
	ret->resource = resource;
	return n > 0 && (size_t)n < size;
}

static void on_request(struct network *n, const struct broker_packet *p)
{
	const struct connection *c = network_connection_find(n, p->m.id);
	struct broker_message m = {
		.type = BROKER_VERDICT, .id = p->m.id, .ask = p->m.ask, .error = EPERM
	};
	char why[192] = "a request that cannot be read", resource[ACTION_PATH_SIZE + 512];
	struct action a;
	if (!c)
		return;
	if (request_of(c, p, resource, sizeof(resource), &a))
		m.error = -watch_decide_seen(n->watch, &a, why, sizeof(why));
	network_tell(n, &m, why, NULL, 0);
}

static void on_statement(struct network *n, const struct broker_packet *p)
{
	struct connection *c = network_connection_find(n, p->m.id);
	struct broker_message m = { .type = BROKER_VERDICT, .id = p->m.id, .ask = p->m.ask };
	char why[192] = "", resource[sizeof(c->resource) + 320];
	if (!c)
		return;
	struct action a = statement_of(c, p, resource, sizeof(resource));
	m.error = -watch_decide_seen(n->watch, &a, why, sizeof(why));
	if (m.error == 0)
		m.repeats = watch_standing(n->watch, &a, n->standing - c->standing);
	if (m.repeats) {
		n->standing += m.repeats - c->standing;
		c->standing = m.repeats;
	}
	network_tell(n, &m, why, NULL, 0);
}

void network_statement_asked(struct network *n, const struct broker_packet *p)
{
	if (p->m.action_type == ACTION_API_CALL)
		on_request(n, p);
	else
		on_statement(n, p);
}

void network_statement_repeated(struct network *n, const struct broker_packet *p)
{
	struct connection *c = network_connection_find(n, p->m.id);
	char resource[sizeof(c->resource) + 320];
	/* More than were granted cannot have passed, whatever is told. */
	if (!c || !c->standing)
		return;
	struct action a = statement_of(c, p, resource, sizeof(resource));
	watch_repeated(n->watch, &a, p->m.repeats < c->standing ? p->m.repeats : c->standing);
}
