/*
 * A policy: what an agent may do. Immutable after loading; matching is pure.
 * The file format is vsandbox-policy(5), the meaning policy-and-scoring.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/action.h"
#include "base/err.h"
#include "base/verdict.h"
#include "policies/pattern.h"

enum policy_mode { MODE_ALERT, MODE_PAUSE, MODE_ROLLBACK, MODE_OBSERVE, MODE_COUNT };
enum policy_effect { EFFECT_BLOCK, EFFECT_PAUSE, EFFECT_ALLOW, EFFECT_COUNT };
/* What waits with a call that a person is asked about: itself, or everything. */
enum policy_pause { PAUSE_CALL, PAUSE_TREE, PAUSE_COUNT };
enum policy_net { NET_NONE, NET_ALLOWLIST, NET_HOST, NET_COUNT };
/* A connection to a database that asks for TLS: told there is none, or decided as a whole. */
enum policy_database_tls { DATABASE_TLS_REFUSE, DATABASE_TLS_WHOLE, DATABASE_TLS_COUNT };
enum policy_workspace { WORKSPACE_OVERLAY, WORKSPACE_DIRECT, WORKSPACE_READ_ONLY, WORKSPACE_COUNT };
enum policy_journal { POLICY_JOURNAL_BATCH, POLICY_JOURNAL_SYNC, POLICY_JOURNAL_COUNT };
enum policy_on_exit { ON_EXIT_KEEP, ON_EXIT_COMMIT, ON_EXIT_DISCARD, ON_EXIT_ASK, ON_EXIT_COUNT };

/* Where a value was written. */
struct policy_origin {
	const char *file; /* owned by the policy; "command line" for flags */
	unsigned line;
};

/* One pattern of a list, with where it came from. */
struct policy_pattern {
	struct pattern pattern;
	struct policy_origin origin;
	const char *name; /* of a named group ("secrets.aws"); NULL none */
};

struct policy_patterns {
	struct policy_pattern *items;
	unsigned count;
	bool present; /* the key was given: an absent allow list allows all, an empty one none */
	const struct policy_index *index; /* for policy_match; the policy owns it */
};

struct policy_rule {
	const char *name;
	enum action_type type; /* ACTION_NONE: any */
	struct pattern pattern;
	enum policy_effect effect;
	bool has_max_risk;
	float max_risk;
	int priority;
	int16_t start_min,
		end_min; /* minutes of the local day, -1 any; end < start wraps midnight */
	uint8_t days;    /* bit 0 Monday … bit 6 Sunday; 0x7f any */
	struct policy_origin origin;
};

/* An exact action that a person has allowed for good. */
struct policy_approved {
	enum action_type type;
	enum action_op op;
	const char *resource, *program;
	struct policy_origin origin;
};

struct policy_publish {
	uint16_t host, inside;
};

struct policy_limits { /* 0: none */
	uint64_t memory_bytes, pids, open_files, wall_seconds;
	uint64_t file_bytes; /* of any one file that is written */
	double cpus;
};

struct policy_monitors {
	bool file_system, network, processes, database;
	bool cpu, memory;
	double cpu_percent, cpu_seconds; /* alert above percent for that long */
	uint64_t memory_bytes;
	bool process_count;
	uint64_t processes_max; /* alert above so many; 0 never */
};

struct policy {
	const char *name, *description;
	struct policy_origin origin;
	enum policy_mode mode;
	enum policy_pause pause;
	/* profile */
	uint32_t allowed_types; /* bit per enum action_type */
	bool allowed_types_present;
	struct policy_patterns allowed;                     /* allowed_resources, any action type */
	struct policy_patterns allowed_read, allowed_write; /* narrower, for file types */
	struct policy_patterns blocked;                     /* blocked_resources: always wins */
	struct policy_patterns blocked_except; /* names that "blocked" misses: system CA bundles */
	struct policy_patterns ambient;
	struct policy_patterns allow_hosts, block_hosts;
	bool spawn; /* false: only the named agent and what its launch needs may be executed */
	struct policy_patterns spawn_allowed; /* programs that may run though spawn is false */
	unsigned rate_per_minute[ACTION_TYPE_COUNT]; /* 0: the general figure */
	unsigned rate_general;
	float max_risk, risk_threshold;
	unsigned rollback_limit;
	struct policy_rule *rules; /* sorted: priority descending, strictest effect first */
	unsigned rule_count;
	struct policy_approved
		*approved; /* not asked about any more; a block is a block all the same */
	unsigned approved_count;
	/* the box */
	enum policy_workspace workspace;
	struct policy_patterns hide, read_only; /* filesystem.hide, .read_only */
	struct policy_patterns direct; /* directories without an overlay, each by its path */
	enum policy_net net;
	enum policy_database_tls database_tls;
	uint16_t *host_ports;
	unsigned host_port_count;
	struct policy_publish
		*publish; /* ports of the sandbox reachable from the host's loopback */
	unsigned publish_count;
	struct policy_patterns allow_unix; /* sockets of the host, each a literal path */
	/* allowed hosts whose connections are the host's own sockets, where nothing is looked into */
	struct policy_patterns handover;
	struct policy_monitors monitors;
	struct policy_limits limits;
	enum policy_on_exit on_exit;
	/* the undo journal */
	enum policy_journal journal; /* when it reaches the disk */
	uint64_t journal_bytes;      /* at most so many, pre-images included */
	bool snapshots;              /* one is taken at the end of a run that changed something */
	/*
	 * SHA-256 in hex over the text of every file it was loaded from that lies outside
	 * policy_env.dirs; NULL: none does. What a person trusts, or no longer trusts.
	 */
	const char *digest;
	/* A project's own policy: each decision is the stricter of both. Owned; NULL none. */
	struct policy *also;
	void *arena; /* owns every string and array above */
};

/*
 * Values that patterns expand: ~ and ${HOME}, ${WORKSPACE}, ${TMPDIR} (NULL:
 * /tmp); and where names are looked up. Symbolic links in them are resolved at
 * load, since resources are canonical; wildcard bytes in them are escaped. A
 * pattern that needs a value that is NULL is refused.
 */
struct policy_env {
	const char *home, *workspace, *tmpdir;
	const char *const *dirs; /* searched for NAME.json, in order; NULL-terminated */
	/*
	 * For a policy that is to narrow another (policy_tighten): what it does not say is the value
	 * that narrows nothing, not the default.
	 */
	bool neutral;
};

/* Is it a file that policy_load would read, not a name that it looks up? */
bool policy_is_path(const char *name_or_path);

/*
 * Loads a policy by name (looked up in env->dirs) or by path (contains '/' or
 * ends in .json), with all it extends. Every error names file:line, the JSON
 * pointer and, for unknown words, the nearest known one. Errors: -ENOENT no such
 * policy, -EINVAL content, -ELOOP extends itself, else -errno of reading.
 */
int policy_load(const char *name_or_path, const struct policy_env *env, struct policy **ret,
		struct err *err);

/* The same from memory; @file is the name used in messages. */
int policy_parse(const char *text, size_t len, const char *file, const struct policy_env *env,
		 struct policy **ret, struct err *err);
void policy_free(struct policy *p);

/* Command-line additions; they count as the last policy extended. Values as in the file. */
enum policy_flag {
	POLICY_FLAG_ALLOW,
	POLICY_FLAG_BLOCK,
	POLICY_FLAG_ALLOW_HOSTS,
	POLICY_FLAG_BLOCK_HOSTS,
	POLICY_FLAG_MAX_RISK,
	POLICY_FLAG_MODE,
	POLICY_FLAG_NET,
	POLICY_FLAG_ON_EXIT,
	POLICY_FLAG_WORKSPACE,
	POLICY_FLAG_MEM,
	POLICY_FLAG_CPU,
	POLICY_FLAG_PIDS,
	POLICY_FLAG_TIMEOUT,
	POLICY_FLAG_SPAWN_ALLOWED, /* path of the agent's own program, and of each it is launched by:
				      may run though spawn is false, and load PREFIX/lib */
	POLICY_FLAG_HOST_PORT,
	POLICY_FLAG_PUBLISH, /* P or P:Q */
	POLICY_FLAG_ALLOW_UNIX,
	POLICY_FLAG_DIRECT,
	POLICY_FLAG_COUNT,
};
int policy_apply_flag(struct policy *p, enum policy_flag flag, const char *value, struct err *err);

/*
 * Lets @project narrow @p, which owns it from now on, whatever the result: judge() answers with
 * the stricter of both, and of what the box carries out (mounts, network, limits, monitors,
 * what happens at the end) the stricter value holds. Nothing of @project widens @p. 0, -ENOMEM.
 */
int policy_tighten(struct policy *p, struct policy *project, struct err *err);

/*
 * Makes @p, loaded neutral, fit to stand beside @base, which must outlive it, in a box that runs already: what
 * @base counts as ambient is so for @p too, and is not measured against @p's list of allowed resources (else
 * such a list would forbid every program its own libraries); where @p allows API calls or statements, a
 * connection to a host that @base lists is how one begins. What @p blocks stays blocked.
 */
void policy_stand_beside(struct policy *p, const struct policy *base);

/*
 * Every key a policy file may hold, for documentation and tests: @block is ""
 * for the file itself, else the key it stands under ("network", "rules", …);
 * "pattern" is a named group in a list. False when @index is past the last.
 */
bool policy_key(unsigned index, const char **ret_block, const char **ret_name);

/* What the patterns say of an action, before any score. Pure; no allocation. */
struct policy_match {
	bool type_allowed;
	const struct policy_pattern *blocked; /* first blocked pattern that hits; NULL none */
	bool resource_allowed;
	bool ambient;
	bool spawn_denied;
	/* rules that hit and whose time holds, in order; a rule with max_risk is listed too */
	const struct policy_rule *rules[8];
	unsigned rule_count;
};
void policy_match(const struct policy *p, const struct action *a, struct policy_match *ret);

/*
 * Is the socket of this connection, which was allowed, to be the host's own? Only @p's own list says so, not
 * that of a project's policy.
 */
bool policy_hands_over(const struct policy *p, const struct action *a);
/* Does allow_hosts name this address itself, alone or by a prefix, whatever the port? */
bool policy_names_address(const struct policy *p, const char *address);

/* Can an action of that kind be named exactly by its resource alone? */
bool policy_approvable(enum action_op op);
/* Copies @more into @p. -EINVAL: not of such a kind. */
int policy_approve(struct policy *p, const struct policy_approved *more, struct err *err);
/* The entry that answers for @a; NULL none. Pure. */
const struct policy_approved *policy_approved(const struct policy *p, const struct action *a);

const char *policy_mode_name(enum policy_mode mode);
const char *policy_pause_name(enum policy_pause pause);
const char *policy_net_name(enum policy_net net);
const char *policy_journal_name(enum policy_journal journal);
const char *policy_on_exit_name(enum policy_on_exit on_exit);
const char *policy_workspace_name(enum policy_workspace workspace);
const char *policy_effect_name(enum policy_effect effect);
