/* What somebody is about to do: the value every decision is made on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum action_type {
	ACTION_NONE, /* a syscall that is no action of its own */
	ACTION_FILE_READ,
	ACTION_FILE_WRITE,
	ACTION_FILE_DELETE,
	ACTION_API_CALL,
	ACTION_DATABASE_QUERY,
	ACTION_DATABASE_WRITE,
	ACTION_CODE_EXECUTION,
	ACTION_NETWORK_REQUEST,
	ACTION_TYPE_COUNT,
};

/* The finer kind within a type: what the score and the log name. */
enum action_op {
	OP_NONE,
	OP_READ,     /* open for reading, directories included */
	OP_CREATE,   /* a file that was not there */
	OP_WRITE,    /* open for writing of a file that was there */
	OP_TRUNCATE, /* truncate(2), or an open with O_TRUNC of a file that was there */
	OP_DELETE,   /* unlink, rmdir */
	OP_RENAME,
	OP_LINK,
	OP_SYMLINK,
	OP_MKDIR,
	OP_MKNOD,
	OP_CHMOD,
	OP_CHOWN,
	OP_UTIME,
	OP_XATTR,
	OP_EXEC,
	OP_CONNECT,
	OP_BIND,
	OP_SEND,
	OP_QUERY,
	OP_RESOLVE, /* a name's addresses; the resource is the bare name */
	OP_COUNT,
};

enum provenance {
	PROVENANCE_UNKNOWN,
	PROVENANCE_SYSTEM,   /* found, and belongs to the system */
	PROVENANCE_EXISTING, /* found when the session began */
	PROVENANCE_CREATED,  /* made by this session */
	PROVENANCE_COUNT,
};

enum {
	ACTION_PATH_SIZE = 4096,
	ACTION_ARGV_SIZE = 4096, /* bytes of argv kept for policy and log */
	ACTION_ANCESTRY_MAX = 8,
};

/*
 * What a parser of the statement's dialect says of it. Several hold of a text of
 * several statements; who weighs them takes the gravest.
 */
enum statement_flag {
	STATEMENT_SESSION = 1u << 0, /* BEGIN, SET, SHOW … */
	STATEMENT_READ = 1u << 1,
	STATEMENT_UNKNOWN = 1u << 2, /* nobody could tell */
	STATEMENT_WRITE = 1u << 3,
	STATEMENT_DELETE = 1u << 4,
	STATEMENT_DEFINE = 1u << 5,   /* CREATE, ALTER, GRANT … */
	STATEMENT_DESTROY = 1u << 6,  /* DROP, TRUNCATE, FLUSHALL … */
	STATEMENT_ALL_ROWS = 1u << 7, /* UPDATE or DELETE without WHERE */
	STATEMENT_OUTSIDE = 1u << 8,  /* files or programs of the database server */
	STATEMENT_ADMIN = 1u << 9,    /* the server itself, or other sessions */
	STATEMENT_CUT = 1u << 10,     /* the text is not all of it */
};

/* Strings are borrowed for as long as the action is looked at. */
struct action {
	enum action_type type;
	enum action_op op;
	enum provenance provenance;

	/* canonical resource (policy-and-scoring: path, host:port, URL); never NULL */
	const char *resource;
	const char *resource2; /* the other path of a rename, link or symlink; NULL: none */
	const char *alias;     /* the name as asked, made absolute, where it differs; else NULL */

	/* payload */
	const char *argv; /* argc strings, each NUL-terminated, one after the other; NULL: none */
	size_t argv_len;
	unsigned argc;
	bool argv_truncated;
	const char *cwd;          /* exec: directory it starts in; NULL unknown */
	const char *statement;    /* database: text; NULL none */
	uint32_t statement_flags; /* of enum statement_flag; 0: only the text is known */
	const char *address;      /* network: numeric address; NULL none */
	const char *protocol;     /* network: "tcp", "udp", "unix"; NULL none */
	bool resolved;            /* network: the name in resource was resolved by this sandbox */
	uint16_t port;            /* network: destination; 0 none */
	int64_t size_bytes;       /* file: size before the action; -1 unknown */
	uint32_t open_flags;      /* file: O_* as asked */
	uint32_t mode;            /* file: mode as asked, or of the found object */

	/* who */
	pid_t pid, tid;       /* as the sandbox numbers them */
	uint64_t start_ticks; /* of the process, clock ticks since boot */
	const char *program;  /* canonical path of its executable; "" unknown */
	const char *ancestry[ACTION_ANCESTRY_MAX]; /* programs, parent first; NULL ends */

	/* when; evaluators have no clock of their own */
	uint64_t mono_ns;
	uint64_t wall_ns;
	int16_t utc_offset_min; /* local time for rules by hour and weekday */

	uint32_t syscall_nr; /* native number; UINT32_MAX for API callers */
};

const char *action_type_name(enum action_type type);                 /* "file_read" … */
int action_type_parse(const char *name, enum action_type *ret_type); /* 0, -EINVAL */
const char *action_op_name(enum action_op op);                       /* "rename" … */

/* database_query where all that is flagged reads or sets up the session; else database_write. */
enum action_type action_type_of_statement(uint32_t flags);
/* Where the host of a resource "scheme://user@host:port/path" or "host:port" begins; length with its port. Pure. */
const char *action_authority(const char *resource, size_t *ret_len);
const char *provenance_name(enum provenance provenance); /* "created" … */
