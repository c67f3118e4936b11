/* Pure: (policy, action) -> what the patterns say. No allocation, no system call, no clock. */
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "policies/policy_index.h"

enum { RULES_LISTED = 8 };

/* The names an action goes by, looked at once. */
struct names {
	struct index_name at[3]; /* resource, resource2, alias */
	unsigned count;
	unsigned targets; /* the first so many are what is touched; the rest is how it was asked */
};

static void names_init(struct names *n, const struct action *a)
{
	n->count = 0;
	index_name_init(&n->at[n->count++], a->resource);
	if (a->resource2)
		index_name_init(&n->at[n->count++], a->resource2);
	n->targets = n->count;
	if (a->alias)
		index_name_init(&n->at[n->count++], a->alias);
}

static const struct policy_pattern *blocked_name(const struct policy *p, const struct names *n)
{
	for (unsigned i = 0; i < n->count; i++) {
		const struct policy_pattern *hit = index_find(&p->blocked, &n->at[i]);
		if (hit && index_find(&p->blocked_except, &n->at[i]))
			hit = NULL;
		if (!hit)
			hit = index_find(&p->hide, &n->at[i]);
		if (hit)
			return hit;
	}
	return NULL;
}

/*
 * "allowed" speaks of every use, @narrow of one direction; a target must be in
 * either. Where neither list is given, all is allowed.
 */
static bool paths_allowed(const struct policy *p, const struct policy_patterns *narrow,
			  const struct names *n)
{
	bool limited = p->allowed.present || (narrow && narrow->present);
	for (unsigned i = 0; limited && i < n->targets; i++)
		if (!index_find(&p->allowed, &n->at[i]) &&
		    !(narrow && index_find(narrow, &n->at[i])))
			return false;
	return true;
}

static bool any_target(const struct policy_patterns *list, const struct names *n)
{
	return index_find(list, &n->at[0]) != NULL;
}

static uint16_t port_number(const char *text, size_t len)
{
	unsigned port = 0;
	if (len == 0 || len > 5)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static uint16_t scheme_port(const char *scheme, size_t len)
{
	static const struct {
		const char *name;
		uint16_t port;
	} known[] = { { "https", 443 },     { "http", 80 },    { "postgresql", 5432 },
		      { "postgres", 5432 }, { "mysql", 3306 }, { "redis", 6379 },
		      { "mongodb", 27017 }, { "wss", 443 },    { "ws", 80 } };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == len && strncmp(known[i].name, scheme, len) == 0)
			return known[i].port;
	return 0;
}

/*
 * The host in "host:port", "[v6]:port", "scheme://user@host:port/path" or, for a
 * connection, a bare host. False when the resource names none: the socket of
 * this machine, or a thing only its service knows, such as a table.
 */
static bool resource_host(const struct action *a, struct pattern_host *ret)
{
	const char *host = a->resource;
	const char *scheme = strstr(host, "://");
	uint16_t port = a->port;
	size_t len;
	if (scheme) {
		uint16_t usual = scheme_port(host, (size_t)(scheme - host));
		port = port ? port : usual;
		host = action_authority(host, &len);
	} else {
		len = strlen(host);
		if (host[0] == '/' || host[0] == '@' || memchr(host, '/', len))
			return false;
	}
	const char *bracket = host[0] == '[' ? memchr(host, ']', len) : NULL;
	const char *colon = memrchr(host, ':', len);
	bool lone = colon && memchr(host, ':', len) == colon; /* else a bare IPv6 address */
	if (bracket ? colon > bracket : lone) {
		uint16_t given = port_number(colon + 1, len - (size_t)(colon + 1 - host));
		if (!scheme && !given && a->type != ACTION_NETWORK_REQUEST)
			return false;
		port = given ? given : port;
		len = (size_t)(colon - host);
	} else if (!scheme && a->type != ACTION_NETWORK_REQUEST &&
		   (a->type != ACTION_API_CALL || !memchr(host, '.', len))) {
		return false;
	}
	pattern_host_init(ret, host, len, port);
	return len > 0;
}

static const struct policy_pattern *host_hit(const struct policy_patterns *list,
					     const struct pattern_host *host)
{
	for (unsigned i = 0; host->len && i < list->count; i++)
		if (pattern_matches_host_subject(&list->items[i].pattern, host))
			return &list->items[i];
	return NULL;
}

/*
 * A name is asked for before anybody knows which port: it may be where some port of it may be
 * reached, and may not where all of it is blocked.
 */
static const struct policy_pattern *name_hit(const struct policy_patterns *list,
					     struct pattern_host host, bool any_port)
{
	for (unsigned i = 0; host.len && i < list->count; i++) {
		const struct pattern *p = &list->items[i].pattern;
		host.port = any_port ? p->port : 0;
		if (pattern_matches_host_subject(p, &host))
			return &list->items[i];
	}
	return NULL;
}

/* A port of the host's loopback that the policy opens, wherever else the network ends. */
static bool is_host_port(const struct policy *p, const struct pattern_host *host)
{
	bool loopback =
		host->family == AF_INET ? host->address[0] == 127
		: host->family == AF_INET6
			? host->address[15] == 1 && !memcmp(host->address, (uint8_t[15]){ 0 }, 15)
			: host->len == 9 && strncasecmp(host->name, "localhost", 9) == 0;
	for (unsigned i = 0; loopback && i < p->host_port_count; i++)
		if (p->host_ports[i] == host->port)
			return true;
	return false;
}

static bool is_network(enum action_type type)
{
	return type == ACTION_NETWORK_REQUEST || type == ACTION_API_CALL ||
	       type == ACTION_DATABASE_QUERY || type == ACTION_DATABASE_WRITE;
}

static bool granted_socket(const struct policy *p, const struct names *n)
{
	for (unsigned i = 0; i < p->allow_unix.count; i++)
		if (pattern_matches_subject(&p->allow_unix.items[i].pattern, &n->at[0].subject))
			return true;
	return false;
}

bool policy_hands_over(const struct policy *p, const struct action *a)
{
	struct pattern_host host, address = { .len = 0 };
	if (!p->handover.count || !resource_host(a, &host))
		return false;
	if (a->address && !host.family)
		pattern_host_init(&address, a->address, strlen(a->address), host.port);
	return host_hit(&p->handover, &host) || host_hit(&p->handover, &address);
}

/* Returns whether the resource names a host at all; then hosts alone decide. */
static bool match_host(const struct policy *p, const struct action *a, struct policy_match *m)
{
	struct pattern_host host, address = { .len = 0 };
	if (!resource_host(a, &host))
		return false;
	/* A name that resolves into a blocked range is blocked: the address is what is reached. */
	if (a->address && !host.family)
		pattern_host_init(&address, a->address, strlen(a->address), host.port);
	bool name_only = a->op == OP_RESOLVE;
	const struct policy_pattern *hit = name_only ? name_hit(&p->block_hosts, host, false)
						     : host_hit(&p->block_hosts, &host);
	if (!hit)
		hit = host_hit(&p->block_hosts, &address);
	if (hit && !m->blocked)
		m->blocked = hit;
	bool listed =
		name_only ? name_hit(&p->allow_hosts, host, true) != NULL
			  : host_hit(&p->allow_hosts, &host) || host_hit(&p->allow_hosts, &address);
	if (!name_only && is_host_port(p, &host)) {
		m->resource_allowed = m->type_allowed = true;
		return true;
	}
	if (p->net == NET_NONE)
		m->resource_allowed = false;
	else if (p->net == NET_ALLOWLIST)
		m->resource_allowed = !p->allow_hosts.present || listed;
	else
		m->resource_allowed = true;
	/*
	 * A connection is how an API call or a query begins, before its content can be
	 * seen: where those are allowed, so is connecting to a host listed for them.
	 */
	const uint32_t carried = UINT32_C(1) << ACTION_API_CALL |
				 UINT32_C(1) << ACTION_DATABASE_QUERY |
				 UINT32_C(1) << ACTION_DATABASE_WRITE;
	if (a->type == ACTION_NETWORK_REQUEST && listed && p->net == NET_ALLOWLIST &&
	    (p->allowed_types & carried))
		m->type_allowed = true;
	return true;
}

static bool rule_time_holds(const struct policy_rule *r, const struct action *a)
{
	if (r->days == 0x7f && r->start_min < 0)
		return true;
	int64_t minutes = (int64_t)(a->wall_ns / UINT64_C(60000000000)) + a->utc_offset_min;
	int64_t day = minutes / 1440, of_day = minutes % 1440;
	bool late = r->start_min > r->end_min && of_day < r->end_min;
	if (r->start_min >= 0) {
		bool in = r->start_min < r->end_min ? of_day >= r->start_min && of_day < r->end_min
						    : of_day >= r->start_min || of_day < r->end_min;
		if (!in)
			return false;
	}
	if (late) /* past midnight the window is still that of the day it began on */
		day--;
	unsigned weekday = (unsigned)((day % 7 + 7 + 3) % 7); /* 1970-01-01 was a Thursday */
	return r->days >> weekday & 1;
}

static bool rule_hits(const struct policy_rule *r, const struct action *a, const struct names *n)
{
	if ((r->type != ACTION_NONE && r->type != a->type) || !rule_time_holds(r, a))
		return false;
	/* An exception must cover all that is touched; a restriction bites on any name. */
	unsigned last = r->effect == EFFECT_ALLOW ? n->targets : n->count;
	unsigned hits = 0;
	for (unsigned i = 0; i < last; i++)
		hits += pattern_matches_subject(&r->pattern, &n->at[i].subject);
	return r->effect == EFFECT_ALLOW ? hits == last : hits > 0;
}

static void match_rules(const struct policy *p, const struct action *a, const struct names *n,
			struct policy_match *m)
{
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = &p->rules[i];
		if (!rule_hits(r, a, n))
			continue;
		/* When many conditional rules fill the list, what surely decides takes the last place. */
		if (m->rule_count < RULES_LISTED)
			m->rules[m->rule_count++] = r;
		else if (!r->has_max_risk)
			m->rules[RULES_LISTED - 1] = r;
		if (!r->has_max_risk)
			return;
	}
}

void policy_match(const struct policy *p, const struct action *a, struct policy_match *ret)
{
	struct names n;
	struct policy_match *m = ret;
	names_init(&n, a);
	*m = (struct policy_match){
		.type_allowed = !p->allowed_types_present ||
				(a->type < ACTION_TYPE_COUNT && p->allowed_types >> a->type & 1),
		.blocked = blocked_name(p, &n),
	};
	if (is_network(a->type)) {
		if (!match_host(p, a, m))
			m->resource_allowed =
				a->resource[0] == '/' && granted_socket(p, &n)
					? true
					: paths_allowed(p,
							a->resource[0] == '/' ? &p->allowed_write
									      : NULL,
							&n);
	} else if (a->type == ACTION_CODE_EXECUTION) {
		bool named = any_target(&p->spawn_allowed, &n);
		/* "spawn": false is itself the answer to executing; it says which programs may. */
		m->spawn_denied = !p->spawn && !named;
		m->type_allowed |= !p->spawn || named;
		m->resource_allowed = named || paths_allowed(p, &p->allowed_read, &n);
		m->ambient = any_target(&p->ambient, &n);
	} else if (a->type == ACTION_FILE_READ) {
		/* An interpreter must read the program it may run. */
		m->resource_allowed =
			paths_allowed(p, &p->allowed_read, &n) || any_target(&p->spawn_allowed, &n);
		m->ambient = any_target(&p->ambient, &n);
	} else {
		m->resource_allowed = paths_allowed(p, &p->allowed_write, &n);
	}
	match_rules(p, a, &n, m);
}

bool policy_names_address(const struct policy *p, const char *address)
{
	struct pattern_host host;
	pattern_host_init(&host, address, strlen(address), 0);
	for (unsigned i = 0; i < p->allow_hosts.count; i++) {
		const struct pattern *pattern = &p->allow_hosts.items[i].pattern;
		host.port = pattern->port;
		/* All addresses at once name none. */
		if (pattern->family && pattern->prefix_len &&
		    pattern_matches_host_subject(pattern, &host))
			return true;
	}
	return false;
}
