#include "net/wire/redis_commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/action.h"

void redis_words_add(struct redis_words *w, const uint8_t *bytes, size_t len)
{
	if (w->count < REDIS_WORDS) {
		char *out = w->word[w->count];
		size_t n = len < REDIS_WORD_SIZE - 1 ? len : REDIS_WORD_SIZE - 1;

		for (size_t i = 0; i < n; i++) {
			uint8_t c = bytes[i];
			out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c ? c : '?');
		}
		out[n] = '\0';
		if (len > n)
			out[0] = '?';
	}
	w->count++;
}

struct row {
	const char *name;
	uint32_t flags;
};

/*
 * Sorted by name. Commands of 7.0's own list (COMMAND DOCS), by its flags readonly,
 * write, admin, dangerous; scripts may do anything, so they are writes. A container
 * ("config") stands with its subcommands where those differ ("config get").
 */
/* clang-format off */
#define S STATEMENT_SESSION
#define R STATEMENT_READ
#define W STATEMENT_WRITE
#define D STATEMENT_DELETE
#define X STATEMENT_DESTROY
#define A (STATEMENT_ADMIN | STATEMENT_WRITE)
static const struct row rows[] = {
	{ "acl", A }, { "acl cat", R }, { "acl whoami", R }, { "append", W }, { "asking", S }, { "auth", S },
	{ "bgrewriteaof", A }, { "bgsave", A }, { "bitcount", R }, { "bitfield", W }, { "bitfield_ro", R },
	{ "bitop", W }, { "bitpos", R }, { "blmove", W }, { "blmpop", W }, { "blpop", W }, { "brpop", W },
	{ "brpoplpush", W }, { "bzmpop", W }, { "bzpopmax", W }, { "bzpopmin", W },
	{ "client", A }, { "client caching", S }, { "client getname", S }, { "client getredir", S }, { "client id", S },
	{ "client info", S }, { "client list", R }, { "client no-evict", S }, { "client reply", S },
	{ "client setinfo", S }, { "client setname", S }, { "client tracking", S }, { "client trackinginfo", S },
	{ "cluster", A }, { "cluster info", R }, { "cluster keyslot", R }, { "cluster myid", R }, { "cluster nodes", R },
	{ "cluster shards", R }, { "cluster slots", R },
	{ "command", R }, { "config", A }, { "config get", R }, { "copy", W }, { "dbsize", R }, { "debug", A | X },
	{ "decr", W }, { "decrby", W }, { "del", D }, { "discard", S }, { "dump", R }, { "echo", S },
	{ "eval", W }, { "eval_ro", R }, { "evalsha", W }, { "evalsha_ro", R }, { "exec", S }, { "exists", R },
	{ "expire", W }, { "expireat", W }, { "expiretime", R }, { "failover", A }, { "fcall", W }, { "fcall_ro", R },
	{ "flushall", X }, { "flushdb", X }, { "function", A }, { "function dump", R }, { "function list", R },
	{ "function stats", R }, { "geoadd", W }, { "geodist", R }, { "geohash", R }, { "geopos", R },
	{ "georadius", W }, { "georadius_ro", R }, { "georadiusbymember", W }, { "georadiusbymember_ro", R },
	{ "geosearch", R }, { "geosearchstore", W }, { "get", R }, { "getbit", R }, { "getdel", D }, { "getex", W },
	{ "getrange", R }, { "getset", W }, { "hdel", D }, { "hello", S }, { "hexists", R }, { "hget", R },
	{ "hgetall", R }, { "hincrby", W }, { "hincrbyfloat", W }, { "hkeys", R }, { "hlen", R }, { "hmget", R },
	{ "hmset", W }, { "hrandfield", R }, { "hscan", R }, { "hset", W }, { "hsetnx", W }, { "hstrlen", R },
	{ "hvals", R }, { "incr", W }, { "incrby", W }, { "incrbyfloat", W }, { "info", R }, { "keys", R },
	{ "lastsave", R }, { "latency", A }, { "latency doctor", R }, { "latency graph", R }, { "latency histogram", R },
	{ "latency history", R }, { "latency latest", R }, { "lcs", R }, { "lindex", R }, { "linsert", W }, { "llen", R },
	{ "lmove", W }, { "lmpop", W }, { "lolwut", R }, { "lpop", W }, { "lpos", R }, { "lpush", W }, { "lpushx", W },
	{ "lrange", R }, { "lrem", D }, { "lset", W }, { "ltrim", D }, { "memory", A }, { "memory doctor", R },
	{ "memory stats", R }, { "memory usage", R }, { "mget", R }, { "migrate", A | D }, { "module", A },
	{ "module list", R }, { "monitor", A }, { "move", W }, { "mset", W }, { "msetnx", W }, { "multi", S },
	{ "object", R }, { "persist", W }, { "pexpire", W }, { "pexpireat", W }, { "pexpiretime", R }, { "pfadd", W },
	{ "pfcount", R }, { "pfdebug", A }, { "pfmerge", W }, { "pfselftest", A }, { "ping", S }, { "psetex", W },
	{ "psubscribe", R }, { "psync", A }, { "pttl", R }, { "publish", W }, { "pubsub", R }, { "punsubscribe", S },
	{ "quit", S }, { "randomkey", R }, { "readonly", S }, { "readwrite", S }, { "rename", W }, { "renamenx", W },
	{ "replconf", A }, { "replicaof", A | X }, { "reset", S }, { "restore", W }, { "restore-asking", W },
	{ "role", R }, { "rpop", W }, { "rpoplpush", W }, { "rpush", W }, { "rpushx", W }, { "sadd", W }, { "save", A },
	{ "scan", R }, { "scard", R }, { "script", W }, { "script exists", R }, { "script kill", A }, { "script load", S },
	{ "sdiff", R }, { "sdiffstore", W }, { "select", S }, { "set", W }, { "setbit", W }, { "setex", W },
	{ "setnx", W }, { "setrange", W }, { "shutdown", A | X }, { "sinter", R }, { "sintercard", R },
	{ "sinterstore", W }, { "sismember", R }, { "slaveof", A | X }, { "slowlog", A }, { "slowlog get", R },
	{ "slowlog len", R }, { "smembers", R }, { "smismember", R }, { "smove", W }, { "sort", W }, { "sort_ro", R },
	{ "spop", D }, { "spublish", W }, { "srandmember", R }, { "srem", D }, { "sscan", R }, { "ssubscribe", R },
	{ "strlen", R }, { "subscribe", R }, { "substr", R }, { "sunion", R }, { "sunionstore", W },
	{ "sunsubscribe", S }, { "swapdb", W | X }, { "sync", A }, { "time", S }, { "touch", R }, { "ttl", R },
	{ "type", R }, { "unlink", D }, { "unsubscribe", S }, { "unwatch", S }, { "wait", S }, { "watch", S },
	{ "xack", W }, { "xadd", W }, { "xautoclaim", W }, { "xclaim", W }, { "xdel", D }, { "xgroup", W },
	{ "xinfo", R }, { "xlen", R }, { "xpending", R }, { "xrange", R }, { "xread", R }, { "xreadgroup", W },
	{ "xrevrange", R }, { "xsetid", W }, { "xtrim", D }, { "zadd", W }, { "zcard", R }, { "zcount", R },
	{ "zdiff", R }, { "zdiffstore", W }, { "zincrby", W }, { "zinter", R }, { "zintercard", R },
	{ "zinterstore", W }, { "zlexcount", R }, { "zmpop", W }, { "zmscore", R }, { "zpopmax", W }, { "zpopmin", W },
	{ "zrandmember", R }, { "zrange", R }, { "zrangebylex", R }, { "zrangebyscore", R }, { "zrangestore", W },
	{ "zrank", R }, { "zrem", D }, { "zremrangebylex", D }, { "zremrangebyrank", D }, { "zremrangebyscore", D },
	{ "zrevrange", R }, { "zrevrangebylex", R }, { "zrevrangebyscore", R }, { "zrevrank", R }, { "zscan", R },
	{ "zscore", R }, { "zunion", R }, { "zunionstore", W },
};
#undef S
#undef R
#undef W
#undef D
#undef X
#undef A
/* clang-format on */

static int by_name(const void *key, const void *row)
{
	return strcmp(key, ((const struct row *)row)->name);
}

static const struct row *find(const char *name)
{
	return bsearch(name, rows, sizeof(rows) / sizeof(rows[0]), sizeof(rows[0]), by_name);
}

uint32_t redis_words_flags(const struct redis_words *w)
{
	char both[2 * REDIS_WORD_SIZE];
	const struct row *row = NULL;

	if (w->count > 1) {
		size_t n = strlen(w->word[0]);

		memcpy(both, w->word[0], n);
		both[n] = ' ';
		memcpy(both + n + 1, w->word[1], strlen(w->word[1]) + 1);
		row = find(both);
	}
	/* A key with a blank in it must not make "get x" of another command. */
	if (!row && w->count && !strchr(w->word[0], ' '))
		row = find(w->word[0]);
	return row ? row->flags : STATEMENT_UNKNOWN;
}

bool redis_words_unseen(const struct redis_words *w)
{
	return w->count && (strcmp(w->word[0], "sync") == 0 || strcmp(w->word[0], "psync") == 0 ||
			    strcmp(w->word[0], "replconf") == 0);
}

bool redis_words_http(const struct redis_words *w)
{
	return w->count && (strcmp(w->word[0], "post") == 0 || strcmp(w->word[0], "host:") == 0);
}
