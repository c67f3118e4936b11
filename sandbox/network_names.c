/* Names the agent asks for, judged here; the addresses they lead to, remembered for connect(2). */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "sandbox/network_private.h"

enum { VERDICT_MS = 2000 }; /* A and AAAA of one name are one question to a person */

unsigned network_names(struct network *n, const struct net_address *address,
		       char ret[NETWORK_NAMES_MAX][DNS_NAME_SIZE])
{
	const char *names[NETWORK_NAMES_MAX];
	pthread_mutex_lock(&n->lock);
	unsigned count =
		names_of(n->names, address, clock_ns(CLOCK_MONOTONIC), names, NETWORK_NAMES_MAX);
	for (unsigned i = 0; i < count; i++)
		strcpy(ret[i], names[i]);
	pthread_mutex_unlock(&n->lock);
	return count;
}

/* Suffixes that no public registry gives away: who answers for them is the site itself. */
static bool is_site_name(const char *name)
{
	static const char *const suffixes[] = { "internal", "local", "lan",     "home.arpa", "corp",
						"intranet", "home",  "private", "test" };
	size_t len = strlen(name);
	if (!strchr(name, '.'))
		return true;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i]);
		if (len > n && name[len - n - 1] == '.' && strcmp(name + len - n, suffixes[i]) == 0)
			return true;
	}
	return false;
}

/*
 * May @name lead to @a? Whoever owns a public name can point it at what only we can reach: such
 * addresses must be named themselves.
 */
static bool permitted(const struct watch *watch, const char *name, const struct net_address *a)
{
	char text[NET_ADDRESS_TEXT];
	switch (net_class_of(a)) {
	case NET_CLASS_PUBLIC:
		return true;
	case NET_CLASS_PRIVATE:
		if (is_site_name(name))
			return true;
		break;
	case NET_CLASS_UNSPECIFIED:
	case NET_CLASS_LOOPBACK:
	case NET_CLASS_METADATA:
	case NET_CLASS_LINK_LOCAL:
	case NET_CLASS_MULTICAST:
	case NET_CLASS_COUNT:
		break;
	}
	return policy_names_address(watch->policy, net_address_host(a, text));
}

void network_names_found(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_PERMITTED, .ask = p->m.ask };
	char text[NET_ADDRESS_TEXT], why[192] = "";
	for (unsigned i = 0; i < p->m.address_count; i++) {
		const struct net_address *a = &p->m.addresses[i];
		if (permitted(n->watch, p->text, a)) {
			names_learn(n->names, p->text, a, p->m.ttl_s, clock_ns(CLOCK_MONOTONIC));
			m.addresses[m.address_count++] = *a;
			continue;
		}
		snprintf(why, sizeof(why), "leads to a %s address, %s",
			 net_class_name(net_class_of(a)), net_address_host(a, text));
	}
	if (*why)
		watch_notice(n->watch,
			     "the name %s %s: not given to the sandbox; allow_hosts can "
			     "name the address itself",
			     p->text, why);
	network_tell(n, &m, m.address_count ? NULL : why, NULL, 0);
}

/* -errno when the name may not be asked for. The judgement of a moment ago holds. */
static int judge_name(struct network *n, const char *name)
{
	struct verdict_memory *v;
	uint64_t now = clock_ms();
	for (unsigned i = 0; i < NETWORK_VERDICTS; i++)
		if (n->verdicts[i].until_ms > now && strcmp(n->verdicts[i].name, name) == 0)
			return n->verdicts[i].error;
	struct action a = { .type = ACTION_NETWORK_REQUEST,
			    .op = OP_RESOLVE,
			    .resource = name,
			    .protocol = "dns",
			    .program = "",
			    .size_bytes = -1,
			    .syscall_nr = UINT32_MAX };
	v = &n->verdicts[n->next_verdict++ % NETWORK_VERDICTS];
	snprintf(v->name, sizeof(v->name), "%.255s", name);
	v->until_ms = now + VERDICT_MS;
	v->error = watch_decide_seen(n->watch, &a, NULL, 0);
	return v->error;
}

static bool is_localhost(const char *name)
{
	size_t len = strlen(name);
	return strcmp(name, "localhost") == 0 ||
	       (len > 10 && strcmp(name + len - 10, ".localhost") == 0);
}

/* What is known here without asking anybody. */
static bool answer_known(struct network *n, const char *name, uint32_t type,
			 struct broker_message *m)
{
	uint8_t family = type == DNS_A ? AF_INET : AF_INET6;
	bool addresses = type == DNS_A || type == DNS_AAAA;
	struct net_address other[1];
	if (is_localhost(name)) {
		struct net_address a = { .family = family };
		a.bytes[family == AF_INET ? 0 : 15] = family == AF_INET ? 127 : 1;
		if (family == AF_INET)
			a.bytes[3] = 1;
		if (addresses)
			m->addresses[m->address_count++] = a;
		return true;
	}
	if (!addresses)
		return false;
	m->address_count = names_fixed(n->names, name, family, m->addresses, BROKER_ADDRESSES_MAX);
	return m->address_count ||
	       names_fixed(n->names, name, family == AF_INET ? AF_INET6 : AF_INET, other, 1);
}

void network_names_asked(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_VERDICT, .ask = p->m.ask, .ttl_s = 60 };
	const char *text = NULL;
	struct net_address address;
	const char *names[1];
	if (p->m.op == DNS_PTR) {
		m.op = 1; /* only what this sandbox has resolved itself */
		if (dns_reverse(p->text, &address)) {
			if (net_class_of(&address) == NET_CLASS_LOOPBACK)
				text = "localhost";
			else if (names_of(n->names, &address, clock_ns(CLOCK_MONOTONIC), names, 1))
				text = names[0];
		}
	} else if (!p->text[0] || strchr(p->text, '?')) {
		m.error = EPERM;
		text = "no host name";
	} else if (!is_localhost(p->text) && judge_name(n, p->text) < 0) {
		m.error = EPERM;
		text = "blocked by the policy of vsandbox";
	} else {
		m.op = answer_known(n, p->text, p->m.op, &m);
	}
	network_tell(n, &m, text, NULL, 0);
}
