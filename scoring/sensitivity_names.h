/*
 * The names that make a resource sensitive, as data. A name is matched against
 * whole components, never inside one: "keyboard", "latest" and "products" are
 * neutral. All is constant; a look-up compares with the names of one first letter.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum sensitivity_class {
	CLASS_NONE,
	CLASS_KEY,         /* private keys and passwords */
	CLASS_CREDENTIALS, /* tokens and settings that hold some */
	CLASS_SECRETS,     /* named so, with nothing else to tell */
	CLASS_KEY_FILE,    /* by suffix alone: may as well be a test's fixture */
	CLASS_TOKEN_MAYBE, /* settings that every run reads and that may hold a token */
	CLASS_METADATA,    /* a cloud's metadata service hands out credentials */
	CLASS_ACCOUNTS,    /* who may log in, and as whom */
	CLASS_BOOT,        /* loaded or run before anybody logs in */
	CLASS_SETTINGS,    /* the rest of /etc */
	CLASS_SYSTEM,
	CLASS_KERNEL, /* switches of the kernel and other processes */
	CLASS_DEVICE, /* raw disks and memory */
	CLASS_PRODUCTION,
	CLASS_PRODUCTION_HOST,
	CLASS_SENSITIVE, /* says so itself */
	CLASS_HEALTH,    /* health, identity and pay */
	CLASS_CUSTOMERS,
	CLASS_HOOKS, /* run by version control */
	CLASS_VCS_CONFIG,
	CLASS_SHELL_RC,
	CLASS_AUTOSTART,
	CLASS_TOOL_HOOKS, /* run by editors, agents and CI when a project is opened */
	CLASS_HISTORY,
	/* not sensitive: what changes the meaning of the rest */
	CLASS_PACKAGES, /* third-party code: names there say nothing about data */
	CLASS_DEIDENTIFIED,
	CLASS_SOURCE, /* code about customers is not customers' data */
	CLASS_PUBLIC, /* a key's public half, an example, a sample */
	CLASS_COUNT,
};

/* Where a name may stand. */
enum name_place {
	NAME_COMPONENT = 1 << 0, /* a whole component, anywhere */
	NAME_ROOT = 1 << 1,      /* the first component */
	NAME_LAST = 1 << 2,      /* the last component */
	NAME_STEM = 1 << 3,      /* a component up to its first dot, where it has one: prod.yaml */
	NAME_FILE_STEM = 1 << 4, /* the last component up to its first dot */
	NAME_WORD = 1 << 5,      /* a word of the last component, between . - _ and space */
	NAME_SUFFIX = 1 << 6,    /* what follows the last dot of the last component */
	NAME_LABEL = 1 << 7,     /* a label of a host name */
	NAME_SQL = 1 << 8,       /* an identifier in a statement */
};

struct sensitivity_name {
	const char *text; /* lower case */
	uint8_t len;
	uint8_t class;      /* enum sensitivity_class */
	uint16_t places;    /* enum name_place */
	const char *parent; /* the component before must be this; NULL any */
};

/* The names of one first letter, shortest first; text NULL ends. NULL: no name begins so. */
extern const struct sensitivity_name *const sensitivity_names[256];
