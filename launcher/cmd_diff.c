#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/changes.h"
#include "launcher/diff_patch.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/pager.h"
#include "launcher/path.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "launcher/writers.h"

enum { DIFF_NAME_STATUS, DIFF_STAT, DIFF_BY_PROCESS, DIFF_JSON, DIFF_PATCH };
const struct option_spec diff_options[] = {
	[DIFF_NAME_STATUS] = { "name-status", 0, NULL, "one letter and the path, a tab between" },
	[DIFF_STAT] = { "stat", 0, NULL, "with sizes" },
	[DIFF_BY_PROCESS] = { "by-process", 0, NULL, "with the program that wrote it last" },
	[DIFF_JSON] = { "json", 0, NULL, "as JSON" },
	[DIFF_PATCH] = { "patch", 'p', NULL, "as a patch for patch -p1 or git apply" },
	{ NULL },
};

struct row {
	enum change_kind kind;
	bool content;
	const char *path; /* name, or in a key what is looked for */
	char *name;       /* owned */
	mode_t mode;
	int64_t before, after; /* sizes; -1 none */
	const char *program;   /* that wrote it last; "" not known; of the writers */
	int64_t pid;
	const char *from; /* its name before; NULL: it was not renamed; of the writers */
};

struct rows {
	struct row *items; /* owned */
	size_t count, room;
	const char *below; /* only this path and what is below it; NULL all */
};

static int collect(const struct change *c, void *arg)
{
	struct rows *rows = arg;
	size_t len = rows->below ? strlen(rows->below) : 0;
	if (len && (strncmp(c->path, rows->below, len) || (c->path[len] && c->path[len] != '/')))
		return 0;
	if (rows->count == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 64;
		struct row *items = realloc(rows->items, room * sizeof(*items));
		if (!items)
			return -ENOMEM;
		rows->items = items;
		rows->room = room;
	}
	struct row *row = &rows->items[rows->count];
	const struct stat *st = c->upper ? c->upper : c->lower;
	*row = (struct row){
		.kind = c->kind,
		.content = c->content,
		.name = strdup(c->path),
		.mode = st ? st->st_mode : 0,
		.before = c->lower ? c->lower->st_size : -1,
		.after = c->upper ? c->upper->st_size : -1,
	};
	row->path = row->name;
	row->program = "";
	if (!row->path)
		return -ENOMEM;
	rows->count++;
	return 0;
}

/* Deletions first: they are what cannot be seen any more by looking. */
static int order(const void *a, const void *b)
{
	static const int rank[CHANGE_KIND_COUNT] = {
		[CHANGE_DELETED] = 0, [CHANGE_MODIFIED] = 1, [CHANGE_ADDED] = 2
	};
	const struct row *x = a, *y = b;
	return rank[x->kind] != rank[y->kind] ? rank[x->kind] - rank[y->kind]
					      : strcmp(x->path, y->path);
}

static char letter(enum change_kind kind)
{
	return kind == CHANGE_DELETED ? 'D' : kind == CHANGE_ADDED ? 'A' : 'M';
}

static const char *kind_name(enum change_kind kind)
{
	return kind == CHANGE_DELETED ? "deleted" : kind == CHANGE_ADDED ? "added" : "modified";
}

static void print_json(const struct rows *rows, const struct session *s)
{
	printf("{\"schema_version\":1");
	json_member(stdout, false, "session", s->id);
	fputs(",\"changes\":[", stdout);
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->items[i];
		fputs(i ? ",{" : "{", stdout);
		json_member(stdout, true, "path", row->path);
		json_member(stdout, false, "kind", kind_name(row->kind));
		if (row->from)
			json_member(stdout, false, "renamed_from", row->from);
		if (row->program[0]) {
			json_member(stdout, false, "program", row->program);
			printf(",\"pid\":%lld", (long long)row->pid);
		}
		printf(",\"directory\":%s,\"content\":%s", S_ISDIR(row->mode) ? "true" : "false",
		       row->content || row->kind != CHANGE_MODIFIED ? "true" : "false");
		if (row->before >= 0)
			printf(",\"size_before\":%lld", (long long)row->before);
		if (row->after >= 0)
			printf(",\"size_after\":%lld", (long long)row->after);
		putchar('}');
	}
	puts("]}");
}

static void print_path(const struct row *row, bool short_home)
{
	char text[8192];
	struct buf b;
	buf_init(&b, text, sizeof(text));
	if (short_home)
		term_path(&b, row->path);
	else
		buf_term(&b, row->path, strlen(row->path));
	printf("%s%s", text, S_ISDIR(row->mode) ? "/" : "");
	if (row->from && short_home && row->kind != CHANGE_DELETED) {
		buf_init(&b, text, sizeof(text));
		term_path(&b, row->from);
		printf(" (was %s)", text);
	}
	putchar('\n');
}

static void print_stat(const struct row *row)
{
	char sizes[64];
	if (S_ISDIR(row->mode))
		snprintf(sizes, sizeof(sizes), "directory");
	else if (row->kind == CHANGE_MODIFIED && !row->content)
		snprintf(sizes, sizeof(sizes), "only mode, owner or times");
	else if (row->kind == CHANGE_MODIFIED)
		snprintf(sizes, sizeof(sizes), "%lld -> %lld bytes", (long long)row->before,
			 (long long)row->after);
	else {
		long long bytes = row->after >= 0 ? row->after : row->before;
		snprintf(sizes, sizeof(sizes), "%lld byte%s", bytes, bytes == 1 ? "" : "s");
	}
	printf("%c %-28s ", letter(row->kind), sizes);
	print_path(row, true);
}

static void print_writer(const struct row *row)
{
	char text[512], program[400];
	struct buf b;
	buf_init(&b, program, sizeof(program));
	buf_term(&b, row->program, strlen(row->program));
	if (row->program[0])
		snprintf(text, sizeof(text), "%s[%lld]", program, (long long)row->pid);
	else
		snprintf(text, sizeof(text), "?");
	printf("%c %-28s ", letter(row->kind), text);
	print_path(row, true);
}

static void print_text(const struct rows *rows, const struct options *o)
{
	static const char *const colors[CHANGE_KIND_COUNT] = { [CHANGE_DELETED] = TERM_RED,
							       [CHANGE_MODIFIED] = TERM_YELLOW,
							       [CHANGE_ADDED] = TERM_GREEN };
	size_t count[CHANGE_KIND_COUNT] = { 0 };
	bool color = term_color(1);
	struct pager pager;
	pager_begin(&pager, (int64_t)rows->count + 1);
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->items[i];
		count[row->kind]++;
		if (options_has(o, DIFF_STAT)) {
			print_stat(row);
			continue;
		}
		if (options_has(o, DIFF_BY_PROCESS)) {
			print_writer(row);
			continue;
		}
		bool plain = options_has(o, DIFF_NAME_STATUS);
		printf("%s%c%s%c", color ? colors[row->kind] : "", letter(row->kind),
		       color ? TERM_RESET : "", plain ? '\t' : ' ');
		print_path(row, !plain);
	}
	if (!options_has(o, DIFF_NAME_STATUS))
		printf("%zu deleted, %zu modified, %zu added\n", count[CHANGE_DELETED],
		       count[CHANGE_MODIFIED], count[CHANGE_ADDED]);
	pager_end(&pager);
}

static int diff(const struct session *s, const char *below, const struct options *o,
		struct err *err)
{
	struct rows rows = { .below = below };
	if (!changes_kept(s)) {
		log_info("session %s holds no changes: committed, discarded, or never any", s->id);
		if (options_has(o, DIFF_JSON))
			print_json(&rows, s);
		return 0;
	}
	if (options_has(o, DIFF_PATCH))
		return diff_patch(s, below, err);
	int r = changes_walk(s, collect, &rows, err);
	if (r == -ENOMEM)
		err_set(err, ENOMEM, "out of memory");
	if (rows.count)
		qsort(rows.items, rows.count, sizeof(*rows.items), order);
	struct writers writers = { NULL };
	bool names_only = options_has(o, DIFF_NAME_STATUS) || options_has(o, DIFF_STAT);
	if (r == 0 && !names_only)
		r = writers_load(s->dirfd, &writers, err);
	for (size_t i = 0; r == 0 && !names_only && i < rows.count; i++) {
		struct row *row = &rows.items[i];
		row->program = writers_program(&writers, row->path, &row->pid);
		/* only from what was there before: programs write beside a file and rename often */
		const struct row was = { .kind = CHANGE_DELETED,
					 .path = writers_renamed_from(&writers, row->path) };
		if (was.path && bsearch(&was, rows.items, rows.count, sizeof(was), order))
			row->from = was.path;
	}
	if (r == 0 && options_has(o, DIFF_JSON))
		print_json(&rows, s);
	else if (r == 0)
		print_text(&rows, o);
	for (size_t i = 0; i < rows.count; i++)
		free(rows.items[i].name);
	free(rows.items);
	writers_finish(&writers);
	return r;
}

int cmd_diff(const struct options *o)
{
	struct session s;
	struct err err;
	char path[STATE_PATH_SIZE];
	int first = path_first(o);
	int r = options_want_args(o, 0, first + 1, &err);
	const char *given = r == 0 ? o->args[first] : NULL;
	if (given)
		r = path_absolute(given, path, &err);
	if (r == 0)
		r = path_session(o, "diff", &s, &err);
	if (r == 0) {
		r = diff(&s, given ? path : NULL, o, &err);
		session_close(&s);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return out_finish();
}
