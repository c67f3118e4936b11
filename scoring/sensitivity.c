/* How sensitive is the target? Classes by the names in its path; the gravest wins. */
#include <assert.h>
#include <string.h>

#include "scoring/dimensions.h"
#include "scoring/resource.h"
#include "scoring/sensitivity_names.h"
#include "scoring/sql.h"

enum effect { EFFECT_READS, EFFECT_CHANGES, EFFECT_KINDS };

/* What kind of name put it there: that decides what may take the class away again. */
enum nature {
	NATURE_FIXED,  /* stands whatever surrounds it */
	NATURE_SECRET, /* harmless where the session made it, or it is a public or sample file */
	NATURE_DATA,   /* harmless in source code and third-party packages */
};

struct class_row {
	float x[EFFECT_KINDS]; /* to read, to change */
	enum nature nature;
	const char *why;
};

/* clang-format off */
static const struct class_row classes[] = {
	[CLASS_NONE]            = { { 0, 0 },       NATURE_FIXED,  NULL },
	[CLASS_KEY]             = { { 1, 1 },       NATURE_SECRET, "private keys or passwords" },
	[CLASS_CREDENTIALS]     = { { .85f, .90f }, NATURE_SECRET, "credentials" },
	[CLASS_SECRETS]         = { { .40f, .50f }, NATURE_SECRET, "files named secret" },
	[CLASS_KEY_FILE]        = { { .90f, .90f }, NATURE_SECRET, "a key file" },
	[CLASS_TOKEN_MAYBE]     = { { .30f, .50f }, NATURE_SECRET, "settings that may hold a token" },
	[CLASS_METADATA]        = { { 1, 1 },       NATURE_FIXED,  "a metadata service that hands out credentials" },
	[CLASS_ACCOUNTS]        = { { .05f, .95f }, NATURE_FIXED,  "the system's accounts and rights" },
	[CLASS_BOOT]            = { { 0, .85f },    NATURE_FIXED,  "what the system runs by itself" },
	[CLASS_SETTINGS]        = { { 0, .60f },    NATURE_FIXED,  "system settings" },
	[CLASS_SYSTEM]          = { { 0, .50f },    NATURE_FIXED,  "system files" },
	[CLASS_KERNEL]          = { { 0, .80f },    NATURE_FIXED,  "the kernel's switches" },
	[CLASS_DEVICE]          = { { .95f, 1 },    NATURE_FIXED,  "a raw disk or memory" },
	[CLASS_PRODUCTION]      = { { .70f, .75f }, NATURE_DATA,   "production" },
	[CLASS_PRODUCTION_HOST] = { { .35f, .45f }, NATURE_FIXED,  "a production host" },
	[CLASS_SENSITIVE]       = { { .85f, .85f }, NATURE_DATA,   "data that is named sensitive" },
	[CLASS_HEALTH]          = { { .80f, .85f }, NATURE_DATA,   "health, identity or pay data" },
	[CLASS_CUSTOMERS]       = { { .55f, .65f }, NATURE_DATA,   "customers' data" },
	[CLASS_HOOKS]           = { { 0, .75f },    NATURE_SECRET, "version control hooks, which run on the host" },
	[CLASS_VCS_CONFIG]      = { { 0, .45f },    NATURE_FIXED,  "version control settings" },
	[CLASS_SHELL_RC]        = { { 0, .75f },    NATURE_FIXED,  "shell start-up files" },
	[CLASS_AUTOSTART]       = { { 0, .80f },    NATURE_FIXED,  "what a login starts" },
	[CLASS_TOOL_HOOKS]      = { { 0, .30f },    NATURE_FIXED,  "settings that run programs on the host" },
	[CLASS_HISTORY]         = { { .65f, .50f }, NATURE_FIXED,  "command histories" },
	[CLASS_PACKAGES]        = { { 0, 0 },       NATURE_FIXED,  NULL },
	[CLASS_DEIDENTIFIED]    = { { 0, 0 },       NATURE_FIXED,  NULL },
	[CLASS_SOURCE]          = { { 0, 0 },       NATURE_FIXED,  NULL },
	[CLASS_PUBLIC]          = { { 0, 0 },       NATURE_FIXED,  NULL },
};
static_assert(sizeof(classes) / sizeof(classes[0]) == CLASS_COUNT, "every class has a row");
static_assert(CLASS_COUNT <= 32, "classes are gathered in a 32-bit set");
/* clang-format on */

static const float statement_share = .45f; /* a table's name says less than a file's */
static const float deidentified_most = .30f;
static const float own_secret_most = .25f;

#define CLASS(name) (UINT32_C(1) << CLASS_##name)

struct part {
	const char *text;
	size_t len;
};

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool part_is(const struct part *p, const char *text, size_t len)
{
	if (p->len != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (fold(p->text[i]) != text[i])
			return false;
	}
	return true;
}

/* The classes of the names equal to @p that may stand in one of @places. */
static uint32_t look_up(struct part p, unsigned places, const struct part *parent)
{
	const struct sensitivity_name *n;
	uint32_t set = 0;

	if (!p.len)
		return 0;
	n = sensitivity_names[(unsigned char)fold(p.text[0])];
	if (!n)
		return 0;
	for (; n->text && n->len <= p.len; n++) {
		if (n->len != p.len || !(n->places & places) || !part_is(&p, n->text, n->len))
			continue;
		if (n->parent && (!parent || !part_is(parent, n->parent, strlen(n->parent))))
			continue;
		set |= UINT32_C(1) << n->class;
	}
	return set;
}

/* "case-sensitive" is about letters. */
static bool word_is_neutral(const struct part *before)
{
	static const char *const neutral[] = { "case", "context", "locale", "space",
					       "time", "in",      "non" };

	for (size_t i = 0; i < sizeof(neutral) / sizeof(neutral[0]); i++) {
		if (part_is(before, neutral[i], strlen(neutral[i])))
			return true;
	}
	return false;
}

static uint32_t look_up_words(struct part file)
{
	struct part before = { 0 };
	uint32_t set = 0;

	for (size_t i = 0, start = 0; i <= file.len; i++) {
		if (i < file.len && file.text[i] != '.' && file.text[i] != '-' &&
		    file.text[i] != '_' && file.text[i] != ' ')
			continue;
		struct part word = { file.text + start, i - start };

		if (!before.len || !word_is_neutral(&before))
			set |= look_up(word, NAME_WORD, NULL);
		before = word;
		start = i + 1;
	}
	return set;
}

static uint32_t look_up_file(struct part file, const struct part *parent)
{
	const char *first = file.len > 1 ? memchr(file.text + 1, '.', file.len - 1) : NULL;
	const char *last = file.len > 1 ? memrchr(file.text + 1, '.', file.len - 1) : NULL;
	struct part stem = { file.text, first ? (size_t)(first - file.text) : file.len };
	uint32_t set = look_up(stem, NAME_FILE_STEM, parent) | look_up_words(file);

	if (last) {
		size_t skip = (size_t)(last + 1 - file.text);

		set |= look_up((struct part){ last + 1, file.len - skip }, NAME_SUFFIX, NULL);
	}
	return set;
}

/* A shared library with its version: libsecret.so.1 */
static bool is_library(struct part file)
{
	return file.len > 3 && memmem(file.text, file.len, ".so.", 4);
}

static uint32_t special(const char *path, uint32_t set)
{
	static const char *const disks[] = {
		"/dev/sd",     "/dev/nvme", "/dev/vd",      "/dev/xvd",
		"/dev/mmcblk", "/dev/dm-",  "/dev/mapper/", "/dev/loop"
	};

	if (strncmp(path, "/dev/", 5) == 0) {
		for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
			if (strncmp(path, disks[i], strlen(disks[i])) == 0)
				return set | CLASS(DEVICE);
		}
	} else if (strncmp(path, "/proc/", 6) == 0) {
		const char *leaf = strrchr(path, '/') + 1;

		if (strcmp(path, "/proc/kcore") == 0)
			return set | CLASS(DEVICE);
		if (strncmp(path, "/proc/self/", 11) == 0 ||
		    strncmp(path, "/proc/thread-self/", 18) == 0)
			return set & ~CLASS(KERNEL);
		/* Another process's memory and environment hold its secrets. */
		if (path[6] >= '0' && path[6] <= '9' &&
		    (strcmp(leaf, "environ") == 0 || strcmp(leaf, "mem") == 0))
			return set | CLASS(CREDENTIALS);
		/* A process may change its own entries; others are the box's concern. */
		if (path[6] >= '0' && path[6] <= '9')
			return set & ~CLASS(KERNEL);
	}
	return set;
}

/* The classes a path belongs to, as a set of bits 1 << enum sensitivity_class. */
static uint32_t classes_of(const char *path)
{
	struct part parent = { 0 }, part = { 0 };
	uint32_t set = 0;
	unsigned index = 0;

	for (const char *p = path; *p;) {
		p += *p == '/';
		const char *end = strchrnul(p, '/');
		const char *dot = memchr(p, '.', (size_t)(end - p));

		part = (struct part){ p, (size_t)(end - p) };
		if (dot == p && part.len > 1)
			dot = memchr(p + 1, '.', part.len - 1);
		unsigned places = NAME_COMPONENT | (*end ? 0u : NAME_LAST) |
				  (index == 0 && *path == '/' ? NAME_ROOT : 0u);

		set |= look_up(part, places, index ? &parent : NULL);
		if (dot)
			set |= look_up((struct part){ p, (size_t)(dot - p) }, NAME_STEM, NULL);
		if (*end)
			parent = part;
		index += part.len > 0;
		p = end;
	}
	if (part.len)
		set |= look_up_file(part, &parent);
	if (is_library(part))
		set |= CLASS(SOURCE);
	if (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0)
		set = special(path, set);
	return set;
}

static bool ends_with(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n >= m && memcmp(text + n - m, tail, m) == 0;
}

static void of_path(const char *path, const struct action *a, enum effect effect, struct finding *f)
{
	uint32_t set = classes_of(path);
	bool own = a->provenance == PROVENANCE_CREATED || a->op == OP_CREATE;
	bool code = set & (CLASS(SOURCE) | CLASS(PACKAGES));
	/* git makes the directory and its *.sample files in every clone; removing runs nothing either */
	bool inert_hook = a->op == OP_MKDIR || a->op == OP_DELETE || ends_with(path, ".sample");
	bool system_data = (set & CLASS(SYSTEM)) && !(set & CLASS(KEY));

	if (!(set & ~(CLASS(SOURCE) | CLASS(PACKAGES) | CLASS(PUBLIC) | CLASS(DEIDENTIFIED))))
		return;
	for (uint32_t left = set; left; left &= left - 1) {
		unsigned c = (unsigned)__builtin_ctz(left);
		const struct class_row *row = &classes[c];
		float x = row->x[effect];

		if (row->nature == NATURE_SECRET && (set & CLASS(PUBLIC)))
			continue;
		if (row->nature == NATURE_DATA && (code || system_data))
			continue;
		if (c == CLASS_HOOKS && inert_hook)
			continue;
		/* Package trees ship keys for their tests and modules called "secrets". */
		if ((c == CLASS_KEY_FILE || c == CLASS_SECRETS) && (code || system_data))
			x = effect == EFFECT_READS ? 0 : own_secret_most;
		if ((c == CLASS_HEALTH || c == CLASS_CUSTOMERS) && (set & CLASS(DEIDENTIFIED)) &&
		    x > deidentified_most)
			x = deidentified_most;
		/* A secret the session made itself is nobody's yet; a hook it made is one. */
		if (row->nature == NATURE_SECRET && c != CLASS_HOOKS && own &&
		    x > own_secret_most && !(set & CLASS(CREDENTIALS)))
			x = own_secret_most;
		finding_raise(f, x, row->why);
	}
}

static void of_host(const struct action *a, enum effect effect, struct finding *f)
{
	static const char *const metadata[] = { "169.254.169.254", "169.254.170.2",
						"100.100.100.200", "fd00:ec2::254" };
	struct resource_host host = resource_host(a->resource);
	uint32_t set = 0;

	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++) {
		if ((host.len == strlen(metadata[i]) &&
		     memcmp(host.text, metadata[i], host.len) == 0) ||
		    (a->address && strcmp(a->address, metadata[i]) == 0))
			set |= CLASS(METADATA);
	}
	for (size_t i = 0, start = 0; i <= host.len && !host.numeric; i++) {
		if (i < host.len && host.text[i] != '.' && host.text[i] != '-')
			continue;
		uint32_t label =
			look_up((struct part){ host.text + start, i - start }, NAME_LABEL, NULL);

		/* metadata.google.internal, not metadata.example.com */
		if (label & CLASS(METADATA) && !memmem(host.text, host.len, ".internal", 9))
			label &= ~CLASS(METADATA);
		set |= label;
		start = i + 1;
	}
	for (; set; set &= set - 1) {
		const struct class_row *row = &classes[__builtin_ctz(set)];

		finding_raise(f, row->x[effect], row->why);
	}
}

static void of_statement(const char *statement, enum effect effect, struct finding *f)
{
	for (;;) {
		struct sql_token t = sql_next(&statement, SQL_STANDARD);

		if (t.kind == SQL_TOKEN_END)
			return;
		if (t.kind != SQL_TOKEN_WORD)
			continue;
		for (uint32_t set = look_up((struct part){ t.text, t.len }, NAME_SQL, NULL); set;
		     set &= set - 1) {
			const struct class_row *row = &classes[__builtin_ctz(set)];

			finding_raise(f, statement_share * row->x[effect], row->why);
		}
	}
}

struct finding sensitivity_of(const struct action *a)
{
	struct finding f = { 0 };
	enum effect effect = EFFECT_READS;

	switch (a->type) {
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
	case ACTION_DATABASE_WRITE:
		effect = EFFECT_CHANGES;
		break;
	case ACTION_NONE:
	case ACTION_FILE_READ:
	case ACTION_API_CALL:
	case ACTION_DATABASE_QUERY:
	case ACTION_CODE_EXECUTION:
	case ACTION_NETWORK_REQUEST:
	case ACTION_TYPE_COUNT:
		break;
	}
	switch (a->type) {
	case ACTION_API_CALL:
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
	case ACTION_NETWORK_REQUEST:
		of_host(a, effect, &f);
		if (a->statement)
			of_statement(a->statement, effect, &f);
		break;
	case ACTION_NONE:
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
	case ACTION_CODE_EXECUTION:
	case ACTION_TYPE_COUNT:
		of_path(a->resource, a, effect, &f);
		if (a->resource2)
			of_path(a->resource2, a, effect, &f);
		if (a->alias)
			of_path(a->alias, a, effect, &f);
		break;
	}
	return f;
}
