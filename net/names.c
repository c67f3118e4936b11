#include "net/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/dns.h"

enum { BUCKETS = 1024, NONE = -1 };

struct pair {
	struct net_address address;
	uint64_t until_ns; /* UINT64_MAX for good; 0: free */
	uint64_t learnt;   /* rises with every learning */
	int next;          /* in its bucket */
	char name[DNS_NAME_SIZE];
};

struct names {
	int buckets[BUCKETS];
	unsigned count; /* pairs ever used */
	uint64_t learnt;
	struct pair pairs[NAMES_MAX];
};

static unsigned bucket_of(const struct net_address *a)
{
	uint32_t h = 2166136261u ^ a->family;
	for (unsigned i = 0; i < sizeof(a->bytes); i++)
		h = (h ^ a->bytes[i]) * 16777619u;
	return (h ^ h >> 15) % BUCKETS;
}

struct names *names_new(void)
{
	struct names *n = calloc(1, sizeof(*n));
	if (n)
		memset(n->buckets, 0xff, sizeof(n->buckets));
	return n;
}

void names_free(struct names *n)
{
	free(n);
}

static void unlink_pair(struct names *n, int index)
{
	int *at = &n->buckets[bucket_of(&n->pairs[index].address)];
	while (*at != index)
		at = &n->pairs[*at].next;
	*at = n->pairs[index].next;
}

/* A pair to write into, out of its bucket. */
static int take_pair(struct names *n)
{
	if (n->count < NAMES_MAX)
		return (int)n->count++;
	int victim = 0;
	for (int i = 1; i < NAMES_MAX; i++)
		if (n->pairs[i].until_ns < n->pairs[victim].until_ns)
			victim = i;
	unlink_pair(n, victim);
	return victim;
}

static void learn(struct names *n, const char *name, const struct net_address *address,
		  uint64_t until_ns)
{
	if (!*name || strlen(name) >= DNS_NAME_SIZE)
		return;
	struct net_address host = *address;
	host.port = 0;
	unsigned bucket = bucket_of(&host);
	int index = n->buckets[bucket];
	while (index != NONE && (!net_address_same_host(&n->pairs[index].address, &host) ||
				 strcasecmp(n->pairs[index].name, name) != 0))
		index = n->pairs[index].next;
	if (index == NONE) {
		index = take_pair(n);
		struct pair *p = &n->pairs[index];
		p->address = host;
		p->until_ns = 0;
		strcpy(p->name, name);
		p->next = n->buckets[bucket];
		n->buckets[bucket] = index;
	}
	struct pair *p = &n->pairs[index];
	p->learnt = ++n->learnt;
	if (until_ns > p->until_ns)
		p->until_ns = until_ns;
}

void names_learn(struct names *n, const char *name, const struct net_address *address,
		 uint32_t ttl_s, uint64_t now_ns)
{
	learn(n, name, address, now_ns + ((uint64_t)ttl_s + NAMES_HOLD_S) * 1000000000u);
}

void names_learn_forever(struct names *n, const char *name, const struct net_address *address)
{
	learn(n, name, address, UINT64_MAX);
}

unsigned names_of(const struct names *n, const struct net_address *address, uint64_t now_ns,
		  const char **ret, unsigned max)
{
	uint64_t order[NAMES_SHARED_MAX];
	unsigned count = 0;
	if (max > NAMES_SHARED_MAX)
		max = NAMES_SHARED_MAX;
	for (int i = n->buckets[bucket_of(address)]; i != NONE; i = n->pairs[i].next) {
		const struct pair *p = &n->pairs[i];
		if (!net_address_same_host(&p->address, address) || p->until_ns < now_ns)
			continue;
		unsigned at = count < max ? count : max;
		while (at > 0 && order[at - 1] < p->learnt)
			at--;
		if (at == max)
			continue;
		if (count < max)
			count++;
		memmove(&order[at + 1], &order[at], (count - at - 1) * sizeof(*order));
		memmove(&ret[at + 1], &ret[at], (count - at - 1) * sizeof(*ret));
		order[at] = p->learnt;
		ret[at] = p->name;
	}
	return count;
}

unsigned names_fixed(const struct names *n, const char *name, uint8_t family,
		     struct net_address *ret, unsigned max)
{
	unsigned count = 0;
	for (unsigned i = 0; i < n->count && count < max; i++) {
		const struct pair *p = &n->pairs[i];
		if (p->until_ns == UINT64_MAX && p->address.family == family &&
		    strcasecmp(p->name, name) == 0)
			ret[count++] = p->address;
	}
	return count;
}

static void load_line(struct names *n, char *line)
{
	struct net_address address;
	char *save;
	line[strcspn(line, "#")] = '\0';
	const char *word = strtok_r(line, " \t\r", &save);
	if (!word || net_address_from_text(word, 0, &address) < 0)
		return;
	while ((word = strtok_r(NULL, " \t\r", &save)))
		names_learn_forever(n, word, &address);
}

void names_load_hosts(struct names *n, const char *text)
{
	while (*text) {
		char line[1024];
		size_t len = strcspn(text, "\n");
		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			load_line(n, line);
		}
		text += len;
		text += *text == '\n';
	}
}
