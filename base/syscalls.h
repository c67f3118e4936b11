/*
 * The one table: all that is known of a system call is its row. Filter,
 * decoder, responder, journal, docs and tests read it; there is no second list.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/action.h"

enum {
	SYSCALL_ARGS = 6,
	SYSCALL_RULES = 11, /* argument conditions a row may carry */
};

/* How the filter and the monitor carry a call out. */
enum how {
	HOW_UNKNOWN, /* no row: the filter answers ENOSYS */
	HOW_ALLOW,   /* the kernel runs it, unseen */
	HOW_ERRNO,   /* the filter refuses with deny_errno */
	HOW_KILL,    /* the filter kills the process */
	HOW_EMULATE, /* notified; the monitor makes the call on its copies */
	HOW_OPEN,    /* notified; the monitor opens and injects the descriptor */
	HOW_EXEC,    /* notified; seized, continued, verified before the first instruction */
	HOW_CONNECT, /* notified; decided on the copied address */
	HOW_SEND,    /* notified where it can name an address and there is something to address */
	HOW_CREDS,   /* notified, continued: changes only what the monitor caches of the task */
	HOW_COUNT,
};

/* What an argument is. The decoder has one reader for each kind. */
enum arg {
	ARG_NONE,
	ARG_INT,     /* a number of no further meaning to us */
	ARG_FD,      /* a descriptor acted upon */
	ARG_DIRFD,   /* directory for the next ARG_PATH; AT_FDCWD where a row has none */
	ARG_PATH,    /* NUL-terminated path, at most PATH_MAX */
	ARG_TARGET,  /* text of a symbolic link, not resolved */
	ARG_OFLAGS,  /* open flags */
	ARG_ATFLAGS, /* AT_* (or RENAME_*) flags */
	ARG_MODE,
	ARG_DEV,
	ARG_OPENHOW, /* struct open_how, its size in the next argument */
	ARG_SIZE,
	ARG_UID,
	ARG_GID,
	ARG_TIMESPECS, /* struct timespec[2] or NULL */
	ARG_TIMEVALS,  /* struct timeval[2] or NULL */
	ARG_UTIMBUF,   /* struct utimbuf or NULL */
	ARG_XATTR_NAME,
	ARG_XATTR_VALUE, /* bytes, their size in the next argument */
	ARG_XATTR_ARGS,  /* struct xattr_args, its size in the next argument */
	ARG_ARGV,        /* NULL-terminated vector */
	ARG_ENVP,
	ARG_SOCKADDR, /* its length in the next argument */
	ARG_BYTES,    /* data, its size in the next argument */
	ARG_MSGHDR,
	ARG_MMSGHDR, /* struct mmsghdr[], their number in the next argument */
	ARG_POINTER, /* memory that no decision needs */
	ARG_KIND_COUNT,
};

/* What the journal must keep to undo the call. */
enum undo {
	UNDO_NONE,   /* changes nothing that can be undone */
	UNDO_OPEN,   /* content of a file opened for writing, or the name it made */
	UNDO_UNLINK, /* the file and its name */
	UNDO_RMDIR,
	UNDO_MAKE, /* remove the name it made (mkdir, symlink, link, mknod) */
	UNDO_RENAME,
	UNDO_CONTENT,  /* truncate */
	UNDO_META,     /* mode, owner, times, extended attributes */
	UNDO_EXTERNAL, /* left the machine: listed, never undone */
	UNDO_COUNT,
};

/* An argument condition the filter tests. All compares are 32-bit masked unless wide is set. */
struct arg_rule {
	uint8_t arg;         /* index 0..5 */
	uint8_t set;         /* 1: the rule is in use */
	uint8_t wide;        /* compare 64 bits (pointers) */
	uint8_t negate;      /* holds when (value & mask) != datum */
	uint8_t how;         /* enum how when the condition holds */
	uint16_t deny_errno; /* with HOW_ERRNO */
	uint64_t mask, datum;
};

enum { SYSCALL_NAME_SIZE = 32, SYSCALL_NOTE_SIZE = 256 };

/* Which values of two arguments: base/syscall_pairs.h. */
enum arg_pairs { ARG_PAIRS_ANY, ARG_PAIRS_SETSOCKOPT, ARG_PAIRS_COUNT };

/* Text and no pointer to it: what a loader need not relocate is never written, in no process. */
struct syscall_row {
	char name[SYSCALL_NAME_SIZE]; /* "": no such number */
	enum action_type type;        /* what it is to a policy; open rows: by flags */
	enum action_op op;
	uint8_t args[SYSCALL_ARGS]; /* enum arg */
	enum undo undo;
	enum how how;                         /* when no rule below holds */
	uint16_t deny_errno;                  /* with HOW_ERRNO */
	struct arg_rule rules[SYSCALL_RULES]; /* first that holds decides */
	/*
	 * Where the caller may hold a socket of the host's network: when no rule holds these pass, in groups of the same
	 * first, and others get deny_errno. ARG_PAIRS_ANY: as anywhere else.
	 */
	uint8_t host_sockets;         /* enum arg_pairs */
	char note[SYSCALL_NOTE_SIZE]; /* why it is carried out this way; never "" */
};

/* Native architecture. NULL when the number has no row. */
const struct syscall_row *syscall_find(uint32_t nr);
/* Number of a native call, -1 when there is none of that name. */
int syscall_number(const char *name);
/*
 * How a row carries out a call with these register values: its first rule that
 * holds, else its own how. This defines what the filter must do. @ret_errno is
 * the positive errno of HOW_ERRNO, else 0.
 */
enum how syscall_how(const struct syscall_row *row, const uint64_t args[static SYSCALL_ARGS],
		     int *ret_errno);
/* Does the condition hold for these register values? */
bool syscall_rule_holds(const struct arg_rule *rule, const uint64_t args[static SYSCALL_ARGS]);
/* One more than the largest number with a row. */
uint32_t syscall_count(void);

const char *how_name(enum how how);
const char *undo_name(enum undo undo);
const char *arg_name(enum arg arg);
