#include "base/action.h"

#include <errno.h>
#include <string.h>

static const char *const type_names[] = {
	[ACTION_NONE] = "none",
	[ACTION_FILE_READ] = "file_read",
	[ACTION_FILE_WRITE] = "file_write",
	[ACTION_FILE_DELETE] = "file_delete",
	[ACTION_API_CALL] = "api_call",
	[ACTION_DATABASE_QUERY] = "database_query",
	[ACTION_DATABASE_WRITE] = "database_write",
	[ACTION_CODE_EXECUTION] = "code_execution",
	[ACTION_NETWORK_REQUEST] = "network_request",
};
_Static_assert(sizeof(type_names) / sizeof(type_names[0]) == ACTION_TYPE_COUNT, "a name each");

static const char *const op_names[] = {
	[OP_NONE] = "none",     [OP_READ] = "read",         [OP_CREATE] = "create",
	[OP_WRITE] = "write",   [OP_TRUNCATE] = "truncate", [OP_DELETE] = "delete",
	[OP_RENAME] = "rename", [OP_LINK] = "link",         [OP_SYMLINK] = "symlink",
	[OP_MKDIR] = "mkdir",   [OP_MKNOD] = "mknod",       [OP_CHMOD] = "chmod",
	[OP_CHOWN] = "chown",   [OP_UTIME] = "utime",       [OP_XATTR] = "xattr",
	[OP_EXEC] = "exec",     [OP_CONNECT] = "connect",   [OP_BIND] = "bind",
	[OP_SEND] = "send",     [OP_QUERY] = "query",       [OP_RESOLVE] = "resolve",
};
_Static_assert(sizeof(op_names) / sizeof(op_names[0]) == OP_COUNT, "a name each");

static const char *const provenance_names[] = {
	[PROVENANCE_UNKNOWN] = "unknown",
	[PROVENANCE_SYSTEM] = "system",
	[PROVENANCE_EXISTING] = "existing",
	[PROVENANCE_CREATED] = "created",
};
_Static_assert(sizeof(provenance_names) / sizeof(provenance_names[0]) == PROVENANCE_COUNT,
	       "a name each");

const char *action_type_name(enum action_type type)
{
	return (unsigned)type < ACTION_TYPE_COUNT ? type_names[type] : "invalid";
}

/* "none" is the mark of a syscall that is no action; nobody may ask for it. */
int action_type_parse(const char *name, enum action_type *ret_type)
{
	for (unsigned t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (strcmp(type_names[t], name) == 0) {
			*ret_type = (enum action_type)t;
			return 0;
		}
	}
	return -EINVAL;
}

const char *action_op_name(enum action_op op)
{
	return (unsigned)op < OP_COUNT ? op_names[op] : "invalid";
}

const char *provenance_name(enum provenance provenance)
{
	return (unsigned)provenance < PROVENANCE_COUNT ? provenance_names[provenance] : "invalid";
}

enum action_type action_type_of_statement(uint32_t flags)
{
	const uint32_t harmless = STATEMENT_SESSION | STATEMENT_READ | STATEMENT_CUT;

	return flags & ~harmless ? ACTION_DATABASE_WRITE : ACTION_DATABASE_QUERY;
}

const char *action_authority(const char *resource, size_t *ret_len)
{
	const char *scheme = strstr(resource, "://"), *host = scheme ? scheme + 3 : resource;
	size_t len = strcspn(host, "/?#");
	const char *at = scheme ? memrchr(host, '@', len) : NULL;

	if (at) {
		len -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	*ret_len = len;
	return host;
}
