#include "scoring/resource.h"

#include <string.h>

enum { FNV_WORD = 8 };
static const uint64_t fnv_offset = UINT64_C(0xcbf29ce484222325);
static const uint64_t fnv_prime = UINT64_C(0x100000001b3);

/* FNV-1a folds weakly into the low bits that index a table: mix once at the end. */
static uint64_t hash_end(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	return h ? h : 1;
}

uint64_t resource_hash(const char *text, size_t len)
{
	uint64_t h = fnv_offset;

	for (; len >= FNV_WORD; len -= FNV_WORD, text += FNV_WORD) {
		uint64_t word;

		memcpy(&word, text, sizeof(word));
		h = (h ^ __builtin_bswap64(word)) * fnv_prime;
		h ^= h >> 29;
	}
	for (; len; len--, text++)
		h = (h ^ (unsigned char)*text) * fnv_prime;
	return hash_end(h);
}

uint64_t resource_hash_host(const struct resource_host *host)
{
	uint64_t h = fnv_offset;

	for (size_t i = 0; i < host->len; i++) {
		unsigned char c = (unsigned char)host->text[i];

		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c + ('a' - 'A'));
		h = (h ^ c) * fnv_prime;
	}
	return hash_end(h);
}

uint64_t resource_hash_dir(const char *path)
{
	size_t end = 0;
	unsigned depth = 0;

	for (size_t i = 1; path[0] && path[i] && depth < RESOURCE_DIR_DEPTH; i++) {
		if (path[i] == '/') {
			end = i;
			depth++;
		}
	}
	return resource_hash(path, end);
}

static bool starts(const char *text, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(text, prefix, n) == 0;
}

static bool all_of(const char *text, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++) {
		if (!strchr(set, text[i]) || !text[i])
			return false;
	}
	return len > 0;
}

struct resource_host resource_host(const char *resource)
{
	struct resource_host host = { .text = resource };
	const char *scheme = strstr(resource, "://");

	if (scheme)
		host.text = scheme + 3;
	if (host.text[0] == '/' || strncmp(host.text, "unix:", 5) == 0) {
		host.len = strlen(host.text);
		host.local = true;
		return host;
	}
	host.len = strcspn(host.text, "/?#");
	const char *at = memrchr(host.text, '@', host.len);
	if (at) {
		host.len -= (size_t)(at + 1 - host.text);
		host.text = at + 1;
	}
	const char *bracket = host.len ? memchr(host.text, ']', host.len) : NULL;
	const char *colon = host.len ? memchr(host.text, ':', host.len) : NULL;
	if (host.len && host.text[0] == '[' && bracket) {
		host.text++;
		host.len = (size_t)(bracket - host.text);
		host.numeric = true;
	} else if (colon && memrchr(host.text, ':', host.len) != colon) {
		host.numeric = true; /* two colons without brackets: IPv6, no port */
	} else {
		if (colon)
			host.len = (size_t)(colon - host.text);
		host.numeric = all_of(host.text, host.len, "0123456789.");
	}
	if (host.numeric)
		host.local = starts(host.text, host.len, "127.") ||
			     starts(host.text, host.len, "::ffff:127.") ||
			     (host.len == 3 && memcmp(host.text, "::1", 3) == 0);
	else
		host.local = host.len == 9 && strncasecmp(host.text, "localhost", 9) == 0;
	return host;
}

bool resource_in_temp(const char *path)
{
	static const char *const temp[] = { "/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/" };

	for (size_t i = 0; i < sizeof(temp) / sizeof(temp[0]); i++) {
		if (strncmp(path, temp[i], strlen(temp[i])) == 0)
			return true;
	}
	return false;
}
