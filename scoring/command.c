#include "scoring/command.h"

#include <string.h>

#include "scoring/shell.h"
#include "scoring/sql.h"

enum { COMMAND_NEEDS = 3 };

/*
 * A row bites when the program and all needs match. A need "-x" is a short flag,
 * bundled or not; "--x…" a long flag; "x*" a beginning; else a whole word.
 */
struct command_row {
	const char *program;
	const char *needs[COMMAND_NEEDS];
	float x;
	const char *why;
};

/* clang-format off */
static const struct command_row rows[] = {
	{ "dd",        { "of=/dev/*" },           1,    "writes to a raw device" },
	{ "mkfs*",     { NULL },                  1,    "makes a file system" },
	{ "wipefs",    { NULL },                  1,    "wipes a disk" },
	{ "fdisk",     { NULL },                  .9f,  "partitions a disk" },
	{ "parted",    { NULL },                  .9f,  "partitions a disk" },
	{ "shred",     { NULL },                  .6f,  "shreds files" },
	{ "find",      { "-delete" },             .45f, "deletes what it finds" },
	{ "find",      { "rm" },                  .45f, "deletes what it finds" },
	{ "chown",     { "-R", "root*" },         .5f,  "changes owners recursively" },
	{ "git",       { "push", "--force*" },    .55f, "overwrites remote history" },
	{ "git",       { "push", "-f" },          .55f, "overwrites remote history" },
	{ "git",       { "push", "--delete" },    .55f, "deletes a remote branch" },
	{ "git",       { "push", "--mirror" },    .55f, "overwrites remote history" },
	{ "git",       { "reset", "--hard" },     .30f, "throws uncommitted work away" },
	{ "git",       { "clean", "-f" },         .35f, "deletes untracked files" },
	{ "git",       { "filter-branch" },       .45f, "rewrites history" },
	{ "terraform", { "destroy" },             .95f, "destroys infrastructure" },
	{ "terraform", { "apply" },               .50f, "changes infrastructure" },
	{ "kubectl",   { "delete" },              .80f, "deletes from a cluster" },
	{ "kubectl",   { "drain" },               .60f, "drains a node" },
	{ "helm",      { "uninstall" },           .70f, "removes a release" },
	{ "aws",       { "s3", "rb" },            .85f, "deletes a bucket" },
	{ "aws",       { "s3", "rm" },            .70f, "deletes from a bucket" },
	{ "aws",       { "delete-*" },            .75f, "deletes in a cloud account" },
	{ "aws",       { "terminate-instances" }, .85f, "terminates machines" },
	{ "gcloud",    { "delete" },              .75f, "deletes in a cloud account" },
	{ "az",        { "delete" },              .75f, "deletes in a cloud account" },
	{ "docker",    { "--privileged" },        .80f, "starts a privileged container" },
	{ "docker",    { "prune" },               .50f, "removes containers and images" },
	{ "nc",        { "-e" },                  .95f, "opens a shell to the network" },
	{ "ncat",      { "-e" },                  .95f, "opens a shell to the network" },
	{ "socat",     { "exec*" },               .95f, "opens a shell to the network" },
	{ "nsenter",   { NULL },                  .70f, "enters other namespaces" },
	{ "insmod",    { NULL },                  .90f, "loads a kernel module" },
	{ "modprobe",  { NULL },                  .80f, "loads a kernel module" },
	{ "sysctl",    { "-w" },                  .60f, "changes kernel settings" },
	{ "iptables",  { NULL },                  .50f, "changes the firewall" },
	{ "nft",       { NULL },                  .50f, "changes the firewall" },
	{ "mount",     { NULL },                  .30f, "mounts" },
	{ "crontab",   { NULL },                  .45f, "schedules programs" },
	{ "useradd",   { NULL },                  .70f, "adds an account" },
	{ "usermod",   { NULL },                  .70f, "changes an account" },
	{ "passwd",    { NULL },                  .60f, "changes a password" },
	{ "visudo",    { NULL },                  .60f, "changes rights" },
	{ "shutdown",  { NULL },                  .70f, "shuts the machine down" },
	{ "reboot",    { NULL },                  .70f, "restarts the machine" },
	{ "systemctl", { "stop" },                .45f, "stops a service" },
	{ "systemctl", { "disable" },             .45f, "disables a service" },
	{ "sudo",      { NULL },                  .40f, "asks for another user's rights" },
	{ "doas",      { NULL },                  .40f, "asks for another user's rights" },
	{ "su",        { NULL },                  .40f, "asks for another user's rights" },
	{ "dropdb",    { NULL },                  1,    "drops a database" },
	{ "redis-cli", { "flushall" },            .90f, "empties a database" },
	{ "redis-cli", { "flushdb" },             .90f, "empties a database" },
	{ "curl",      { "-T" },                  .35f, "uploads a file" },
	{ "curl",      { "--upload-file" },       .35f, "uploads a file" },
	{ "curl",      { "@*" },                  .35f, "uploads a file" },
	{ "curl",      { "-k" },                  .20f, "does not verify whom it talks to" },
	{ "curl",      { "--insecure" },          .20f, "does not verify whom it talks to" },
	{ "wget",      { "--post-file*" },        .35f, "uploads a file" },
	{ "npm",       { "publish" },             .55f, "publishes a package" },
	{ "twine",     { "upload" },              .55f, "publishes a package" },
	{ "cargo",     { "publish" },             .55f, "publishes a package" },
	{ "gem",       { "push" },                .55f, "publishes a package" },
};
/* clang-format on */

static const char *const shells[] = { "sh", "bash", "dash", "zsh", "ksh", "ash", "fish" };
static const char *const interpreters[] = { "perl", "ruby", "php", "node", "python*" };
static const char *const evaluators[] = { "eval", "source", "." };
static const char *const downloads[] = { "curl", "wget", "fetch", "aria2c", "http", "https" };
static const char *const decoders[] = { "base64", "base32", "xxd", "uudecode", "openssl" };
static const char *const wrappers[] = { "sudo",  "doas",    "env",  "nohup",  "nice",   "ionice",
					"time",  "exec",    "then", "else",   "do",     "command",
					"xargs", "timeout", "if",   "!",      "stdbuf", "setsid",
					"while", "until",   "{",    "busybox" };
static const char *const sql_clients[] = { "psql", "mysql", "mariadb", "sqlite3", "sqlite" };

#define ANY(list, word) any_of(list, sizeof(list) / sizeof((list)[0]), word)

static bool text_is(const char *pattern, const char *text)
{
	size_t len;

	/* Nearly all comparisons end here; folding a non-letter may only cost the full one. */
	if ((pattern[0] | 0x20) != (text[0] | 0x20))
		return false;
	len = strlen(pattern);
	if (pattern[len - 1] == '*')
		return strncasecmp(pattern, text, len - 1) == 0;
	return strcasecmp(pattern, text) == 0;
}

static bool any_of(const char *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (text_is(list[i], text))
			return true;
	}
	return false;
}

const char *command_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool has_flag(const struct command *c, char flag)
{
	for (unsigned i = 1; i < c->count; i++) {
		const char *w = c->words[i].text;

		if (w[0] == '-' && w[1] != '-' && w[1] && strchr(w + 1, flag))
			return true;
	}
	return false;
}

static bool has_word(const struct command *c, const char *need)
{
	if (need[0] == '-' && need[1] != '-' && need[2] == '\0')
		return has_flag(c, need[1]);
	for (unsigned i = 1; i < c->count; i++) {
		if (text_is(need, c->words[i].text))
			return true;
	}
	return false;
}

/* What is left of @c without `sudo`, `env A=1`, `timeout 5` and the like in front. */
static struct command unwrapped(const struct command *c)
{
	struct command inner = *c;
	unsigned skip = 0;

	while (skip < c->count) {
		const char *w = c->words[skip].text;
		const char *name = command_base_name(w);

		if (ANY(wrappers, name)) {
			for (skip++;
			     skip < c->count &&
			     (c->words[skip].text[0] == '-' ||
			      strspn(c->words[skip].text, "0123456789.smh") == c->words[skip].len);)
				skip++;
		} else if (strchr(w, '=') && w[0] != '-' && w[0] != '=' && !strchr(w, '/')) {
			skip++;
		} else {
			break;
		}
	}
	memmove(inner.words, inner.words + skip, (c->count - skip) * sizeof(inner.words[0]));
	inner.count -= skip;
	return inner;
}

/* A literal match: here a star is the shell's. */
static bool is_one_of(const char *const *list, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(list[i], text) == 0)
			return true;
	}
	return false;
}

/* "/", "~", "/usr", "/home/x", "..", "*" and what a variable left empty makes of a path. */
static float target_reach(const char *w)
{
	static const char *const all[] = { "/",     "/*",     "~",       "~/", "~/*",
					   "$home", "$home/", "${home}", "/." };
	static const char *const here[] = { "*", ".", "./", "./*", "..", "../", "../*", ".git" };

	if (is_one_of(all, sizeof(all) / sizeof(all[0]), w) || strncmp(w, "//", 2) == 0)
		return 1;
	if (w[0] == '/') {
		const char *second = strchr(w + 1, '/');

		if (strncmp(w, "/tmp/", 5) == 0)
			return .10f;
		/* A top-level directory, or somebody's whole home. */
		if (!second || !second[1] || strcmp(second, "/*") == 0)
			return 1;
		if (strncmp(w, "/home/", 6) == 0 && !strchr(second + 1, '/'))
			return 1;
		return strncmp(w, "/etc/", 5) == 0 || strncmp(w, "/usr/", 5) == 0 ||
				       strncmp(w, "/var/", 5) == 0 || strncmp(w, "/boot/", 6) == 0
			       ? .80f
			       : .30f;
	}
	if (is_one_of(here, sizeof(here) / sizeof(here[0]), w))
		return .60f;
	return w[0] == '$' || w[0] == '~' ? .45f : .20f;
}

static void check_rm(const struct command *c, struct finding *f)
{
	bool recursive = has_flag(c, 'r') || has_flag(c, 'R') || has_word(c, "--recursive");

	if (has_word(c, "--no-preserve-root"))
		finding_raise(f, 1, "deletes recursively from the root");
	for (unsigned i = 1; i < c->count && recursive; i++) {
		if (c->words[i].text[0] != '-')
			finding_raise(f, target_reach(c->words[i].text), "deletes recursively");
	}
}

static void check_chmod(const struct command *c, struct finding *f)
{
	float wide = has_flag(c, 'R') || has_word(c, "--recursive") ? .75f : .60f;

	for (unsigned i = 1; i < c->count; i++) {
		const char *w = c->words[i].text;
		size_t digits = strspn(w, "01234567");

		if (digits >= 3 && !w[digits]) {
			if (strchr("2367", w[digits - 1]))
				finding_raise(f, wide, "opens files to everybody");
			if (digits == 4 && strchr("4567", w[0]))
				finding_raise(f, .80f, "sets the set-user-id bit");
		} else if (strchr("ugoa+", w[0]) && strchr(w, '+')) {
			bool others = strcspn(w, "oa") < strcspn(w, "+") || w[0] == '+';

			if (others && strchr(strchr(w, '+'), 'w'))
				finding_raise(f, wide, "opens files to everybody");
			if (strchr(strchr(w, '+'), 's'))
				finding_raise(f, .80f, "sets the set-user-id bit");
		}
	}
}

static void check_sql(const struct command *c, struct finding *f)
{
	struct sql_shape shape;

	for (unsigned i = 1; i < c->count; i++) {
		const char *w = c->words[i].text;

		if (!strchr(w, ' '))
			continue;
		sql_inspect(w, &shape);
		if (shape.kind != SQL_UNKNOWN)
			finding_raise(f, shape.danger, shape.why);
	}
}

static void check_redirects(const struct command *c, struct finding *f)
{
	for (unsigned i = 0; i < c->count; i++) {
		const char *w = c->words[i].text;

		if (strstr(w, "/dev/tcp/") || strstr(w, "/dev/udp/"))
			finding_raise(f, .95f, "opens a shell to the network");
		const char *to = strstr(w, ">/dev/");
		if (to && (strncmp(to + 6, "sd", 2) == 0 || strncmp(to + 6, "nvme", 4) == 0 ||
			   strncmp(to + 6, "vd", 2) == 0))
			finding_raise(f, 1, "writes to a raw device");
	}
}

/* `curl … | sh` does; `curl … | python3 -m json.tool` only reads it. */
static bool runs_its_input(const struct command *c, const char *name)
{
	if (ANY(shells, name))
		return !has_flag(c, 'c');
	if (!ANY(interpreters, name))
		return false;
	return c->count == 1 || strcmp(c->words[1].text, "-") == 0;
}

static bool runs_its_words(const struct command *c, const char *name)
{
	if (ANY(evaluators, name) || ANY(shells, name))
		return true;
	return ANY(interpreters, name) && (has_flag(c, 'c') || has_flag(c, 'e'));
}

/* One command, its words complete. Sets what its output is. */
void command_check(struct command *outer, unsigned depth, struct finding *f)
{
	struct command c;
	const char *name;

	outer->sends_download = outer->piped_download || outer->holds_download;
	if (!outer->count)
		return;
	check_redirects(outer, f);
	name = command_base_name(outer->words[0].text);
	if (ANY(wrappers, name)) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			if (!rows[i].needs[0] && text_is(rows[i].program, name))
				finding_raise(f, rows[i].x, rows[i].why);
		}
	}
	c = unwrapped(outer);
	if (!c.count)
		return;
	name = command_base_name(c.words[0].text);
	if (ANY(downloads, name) ||
	    (ANY(decoders, name) &&
	     (has_flag(&c, 'd') || has_flag(&c, 'r') || has_word(&c, "--decode"))))
		outer->sends_download = true;
	if ((outer->piped_download && runs_its_input(&c, name)) ||
	    (outer->holds_download && runs_its_words(&c, name)))
		finding_raise(f, .95f, "runs what it downloads or decodes, unseen");
	if (strcmp(name, "rm") == 0)
		check_rm(&c, f);
	else if (strcmp(name, "chmod") == 0)
		check_chmod(&c, f);
	else if (ANY(sql_clients, name))
		check_sql(&c, f);
	else if (ANY(shells, name) && has_flag(&c, 'c')) {
		for (unsigned i = 1; i + 1 < c.count; i++) {
			const char *w = c.words[i].text;

			if (w[0] == '-' && w[1] != '-' && strchr(w, 'c')) {
				shell_scan(c.words[i + 1].text, c.words[i + 1].len, depth + 1, f);
				break;
			}
		}
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct command_row *row = &rows[i];
		bool all = text_is(row->program, name);

		for (unsigned n = 0; all && n < COMMAND_NEEDS && row->needs[n]; n++)
			all = has_word(&c, row->needs[n]);
		if (all)
			finding_raise(f, row->x, row->why);
	}
}

bool command_goes_by_name(const char *name)
{
	return ANY(shells, name) || strcmp(name, "rm") == 0;
}
