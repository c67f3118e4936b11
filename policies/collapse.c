#include "policies/collapse.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/scope.h"

/* What mkstemp(3) and its kin draw; Python's tempfile draws eight after "tmp". */
enum { RANDOM_CHARS = 6, PYTHON_CHARS = 8 };

/* A path on its way to a pattern: text already in pattern syntax. */
struct draft {
	char *text; /* owned */
	enum collapse_rule rule;
	unsigned covered;
	bool open; /* ends in a star */
};

struct drafts {
	struct draft *items;
	size_t count;
	const struct collapse_env *env;
	struct collapse_pattern *out;
	int out_count;
};

/* As strcmp, with '/' before every other byte, so that what is below a directory is together. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
	int left = x == '/' ? 1 : x ? x + 1 : 0, right = y == '/' ? 1 : y ? y + 1 : 0;
	return left - right;
}

static int by_path(const void *a, const void *b)
{
	return compare_paths(((const struct collapse_path *)a)->path,
			     ((const struct collapse_path *)b)->path);
}

static int by_text(const void *a, const void *b)
{
	return compare_paths(((const struct draft *)a)->text, ((const struct draft *)b)->text);
}

static size_t unique(struct collapse_path *paths, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (kept && !strcmp(paths[kept - 1].path, paths[i].path)) {
			paths[kept - 1].listed |= paths[i].listed;
			paths[kept - 1].created |= paths[i].created;
			paths[kept - 1].gone |= paths[i].gone;
		} else {
			paths[kept++] = paths[i];
		}
	}
	return kept;
}

static bool below(const char *path, const char *dir)
{
	return dir && dir[0] && dir[1] && path_is_within(path, dir);
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Letters or digits that change their kind often: a person would not name a file so. */
static bool drawn(const char *text, size_t len)
{
	unsigned changes = 0;
	int last = 0;
	for (size_t i = 0; i < len; i++) {
		int kind = isdigit((unsigned char)text[i])   ? 1
			   : isupper((unsigned char)text[i]) ? 2
			   : islower((unsigned char)text[i]) ? 3
							     : 0;
		if (kind == 0)
			return false;
		changes += last && kind != last;
		last = kind;
	}
	return len >= RANDOM_CHARS && changes >= 3;
}

/* A hash or a number of many digits. */
static bool counted(const char *text, size_t len)
{
	size_t digits = 0;
	for (size_t i = 0; i < len; i++) {
		if (!isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
			return false;
		digits += isdigit((unsigned char)text[i]) != 0;
	}
	return (len >= 8 && digits > 0) || (len >= 5 && digits == len);
}

static bool dated(const char *text)
{
	static const char shape[] = "0000-00-00";
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	return true;
}

/* Part of a path that is the same in every run, then so many drawn characters. */
struct cut {
	size_t keep;
	size_t drawn; /* 0: nobody knows how many; all that follows is open */
};

/*
 * How many characters at the end of @run, a run of word characters in the name of a thing that is
 * gone again, were drawn by lot. 0: none, the name is a fixed one such as config.lock.
 */
static size_t drawn_length(const char *run, size_t len, bool temporary)
{
	size_t digits = 0, upper = 0, lower = 0;
	if (len < RANDOM_CHARS)
		return 0;
	for (size_t i = len - RANDOM_CHARS; i < len; i++) {
		digits += isdigit((unsigned char)run[i]) != 0;
		upper += isupper((unsigned char)run[i]) != 0;
		lower += islower((unsigned char)run[i]) != 0;
	}
	bool mixed = digits > 0 || (upper > 0 && lower > 0);
	if (!mixed && !temporary)
		return 0;
	if (len == RANDOM_CHARS + 2 && !strncmp(run, "cc", 2)) /* the compiler's: mkstemps */
		return RANDOM_CHARS;
	if (len == PYTHON_CHARS || (len == PYTHON_CHARS + 3 && !strncmp(run, "tmp", 3)))
		return PYTHON_CHARS;
	return RANDOM_CHARS;
}

/* Where a name of @len bytes begins to differ from run to run; keep is @len when it does not. */
static struct cut cut_of_name(const char *name, size_t len, bool gone, bool temporary)
{
	size_t longest = 0, longest_at = 0;
	for (size_t at = 0; at < len;) {
		size_t run = 0, alnum = 0;
		if (len - at >= 10 && dated(name + at))
			return (struct cut){ .keep = at };
		while (at + run < len && word_char(name[at + run]))
			run++;
		if (!run) {
			at++;
			continue;
		}
		/* The part after the last underscore, as in tmp_obj_Jf9O0M. */
		while (alnum < run && name[at + run - 1 - alnum] != '_')
			alnum++;
		const char *tail = name + at + run - alnum;
		if (!gone && counted(tail, alnum))
			return (struct cut){ .keep = (size_t)(tail - name) };
		if (!gone && alnum >= RANDOM_CHARS &&
		    drawn(name + at + run - RANDOM_CHARS, RANDOM_CHARS))
			return (struct cut){ .keep = at + run - alnum };
		if (run > longest) {
			longest = run;
			longest_at = at;
		}
		at += run;
	}
	size_t chars = gone ? drawn_length(name + longest_at, longest, temporary) : 0;
	if (!chars)
		return (struct cut){ .keep = len };
	if (longest > PYTHON_CHARS + 3 && counted(name + longest_at, longest))
		return (struct cut){ .keep = longest_at };
	return (struct cut){ .keep = longest_at + longest - chars, .drawn = chars };
}

static const struct collapse_path *lookup(const struct collapse_path *paths, size_t count,
					  const char *path, size_t len)
{
	char text[PATH_MAX];
	struct collapse_path key = { .path = text };
	if (len >= sizeof(text))
		return NULL;
	memcpy(text, path, len);
	text[len] = '\0';
	return bsearch(&key, paths, count, sizeof(*paths), by_path);
}

/* ab/cd/<hash>: the first letters of a hash as directories. */
static bool hash_directory(const char *name, size_t len, const char *rest)
{
	if (len != 2 || !isxdigit((unsigned char)name[0]) || !isxdigit((unsigned char)name[1]))
		return false;
	if (!*rest)
		return false;
	size_t next = strcspn(rest + 1, "/");
	return counted(rest + 1, next) || hash_directory(rest + 1, next, rest + 1 + next);
}

static bool is_temporary(const struct collapse_env *env, const char *path)
{
	return below(path, "/tmp") || below(path, "/var/tmp") || below(path, env->tmpdir);
}

/*
 * Where the part of @path that is the same in every run ends. Looks at each component that
 * the job made; keep is strlen(path) when all of it is.
 */
static struct cut cut_of(const struct collapse_path *paths, size_t count, const char *path,
			 bool temporary)
{
	for (const char *name = path + 1; *name;) {
		size_t len = strcspn(name, "/"), at = (size_t)(name - path);
		const char *rest = name + len;
		const struct collapse_path *made =
			lookup(paths, count, path, (size_t)(rest - path));
		if (made && made->created) {
			if (hash_directory(name, len, rest))
				return (struct cut){ .keep = at };
			struct cut c = cut_of_name(name, len, made->gone, temporary);
			if (c.keep < len)
				return (struct cut){ .keep = at + c.keep, .drawn = c.drawn };
		}
		name = *rest ? rest + 1 : rest;
	}
	return (struct cut){ .keep = strlen(path) };
}

/* Length of a version number at @text: 3.11, 1.2.3; 0 none. */
static size_t version_length(const char *text, size_t len)
{
	size_t at = 0, parts = 0;
	for (;;) {
		size_t digits = 0;
		while (at + digits < len && isdigit((unsigned char)text[at + digits]))
			digits++;
		if (!digits)
			return parts > 1 ? at - 1 : 0;
		at += digits;
		parts++;
		if (at >= len || text[at] != '.')
			return parts > 1 ? at : 0;
		at++;
	}
}

/* Writes @len bytes of @path in pattern syntax, @versions: with rule 2. NULL out of memory. */
static char *pattern_text(const char *path, size_t len, bool versions, bool *ret_version)
{
	static const char replacement[] = "\xef\xbf\xbd"; /* bytes the log could not say */
	char *out = malloc(2 * len + 8);
	size_t used = 0;
	if (!out)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t version = versions && (i == 0 || !isdigit((unsigned char)path[i - 1]))
					 ? version_length(path + i, len - i)
					 : 0;
		if (version) {
			out[used++] = '*';
			*ret_version = true;
			i += version;
		} else if (len - i >= 3 && !memcmp(path + i, replacement, 3)) {
			out[used++] = '*';
			i += 3;
		} else if (path[i] == '$' && i + 1 < len && path[i + 1] == '{') {
			out[used++] = '?'; /* a loader would expand it */
			i++;
		} else {
			if (strchr("*?[\\", path[i]))
				out[used++] = '\\';
			out[used++] = path[i++];
		}
	}
	out[used] = '\0';
	return out;
}

/* Rule 3 spares what is not the job's own. @dir is in pattern syntax, without a trailing '/'. */
static bool may_collapse(const struct collapse_env *env, const char *dir, size_t len)
{
	char text[PATH_MAX];
	unsigned depth = 0;
	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, dir, len);
	text[len] = '\0';
	for (const char *c = text; *c; c++)
		depth += *c == '/';
	if (env->workspace && below(text, env->workspace))
		return true;
	const char *const spared[] = { env->workspace, env->tmpdir, env->home, "/tmp", "/var/tmp" };
	for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++)
		if (spared[i] && below(spared[i], text))
			return false;
	return depth >= 2;
}

/* End of the group of drafts that share the component which begins after @len bytes. */
static size_t group_end(const struct drafts *d, size_t from, size_t to, size_t len, size_t *ret_len)
{
	const char *text = d->items[from].text;
	size_t component = strcspn(text + len + 1, "/");
	size_t end = from + 1;
	*ret_len = len + 1 + component;
	while (end < to && !strncmp(d->items[end].text, text, *ret_len) &&
	       (d->items[end].text[*ret_len] == '/' || !d->items[end].text[*ret_len]))
		end++;
	return end;
}

/* Number of lines for [from, to), which share the first @len bytes as their directory. */
static unsigned lines(const struct drafts *d, size_t from, size_t to, size_t len, bool *ret_whole)
{
	unsigned sum = 0;
	for (size_t at = from; at < to;) {
		bool whole;
		size_t next_len = 0;
		if (!d->items[at].text[len]) { /* the directory itself */
			sum++;
			at++;
			continue;
		}
		size_t end = group_end(d, at, to, len, &next_len);
		sum += end - at == 1 ? 1 : lines(d, at, end, next_len, &whole);
		at = end;
	}
	*ret_whole = sum > COLLAPSE_LINES && may_collapse(d->env, d->items[from].text, len);
	return *ret_whole ? 1 : sum;
}

/* @text with the directories that have names written by them. */
static char *named(const struct collapse_env *env, const char *text, size_t len, const char *tail)
{
	const struct {
		const char *dir, *name;
	} names[] = { { env->workspace, "${WORKSPACE}" },
		      { env->tmpdir, "${TMPDIR}" },
		      { env->home, "~" } };
	const char *name = "";
	size_t skip = 0;
	for (size_t i = 0; !skip && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = names[i].dir ? strlen(names[i].dir) : 0;
		if (n > 1 && n <= len && !strncmp(text, names[i].dir, n) &&
		    (n == len || text[n] == '/')) {
			name = names[i].name;
			skip = n;
		}
	}
	size_t size = strlen(name) + len - skip + strlen(tail) + 1;
	char *out = malloc(size);
	if (out) {
		char *at = stpcpy(out, name);
		at = mempcpy(at, text + skip, len - skip);
		strcpy(at, tail);
	}
	return out;
}

static int put(struct drafts *d, size_t from, size_t to, size_t len, enum collapse_rule rule,
	       const char *tail)
{
	char *text = named(d->env, d->items[from].text, len, tail);
	if (!text)
		return -ENOMEM;
	unsigned covered = 0;
	for (size_t i = from; i < to; i++)
		covered += d->items[i].covered;
	d->out[d->out_count++] =
		(struct collapse_pattern){ .text = text, .rule = rule, .covered = covered };
	return 0;
}

static int emit(struct drafts *d, size_t from, size_t to, size_t len)
{
	bool whole = false;
	lines(d, from, to, len, &whole);
	if (whole)
		return put(d, from, to, len, COLLAPSE_DIRECTORY, "/**");
	int r = 0;
	for (size_t at = from; r == 0 && at < to;) {
		const struct draft *one = &d->items[at];
		size_t next_len = strlen(one->text);
		size_t end = one->text[len] ? group_end(d, at, to, len, &next_len) : at + 1;
		if (end - at > 1)
			r = emit(d, at, end, next_len);
		else
			r = put(d, at, end, strlen(one->text), one->rule, one->open ? "*" : "");
		at = end;
	}
	return r;
}

static int add_draft(struct drafts *d, const struct collapse_path *paths, size_t count,
		     const char *path)
{
	bool version = false, open = false, inside = below(path, d->env->workspace);
	struct cut cut = cut_of(paths, count, path, !inside && is_temporary(d->env, path));
	const char *rest = path + cut.keep + cut.drawn;
	char *text = pattern_text(path, cut.keep, !inside, &version);
	if (!text)
		return -ENOMEM;
	if (*rest && (!cut.drawn || strchr(rest, '/'))) {
		open = true;
		rest = "";
	}
	if (cut.drawn) {
		/* NAME, one ? for each drawn character, what follows in the same name */
		size_t used = strlen(text);
		bool ignored = false;
		cleanup_free char *tail = pattern_text(rest, strlen(rest), false, &ignored);
		char *longer = tail ? realloc(text, used + cut.drawn + strlen(tail) + 1) : NULL;
		if (!longer) {
			free(text);
			return -ENOMEM;
		}
		text = longer;
		memset(text + used, '?', cut.drawn);
		strcpy(text + used + cut.drawn, tail);
	}
	d->items[d->count++] = (struct draft){
		.text = text,
		.covered = 1,
		.open = open,
		.rule = open || cut.drawn ? COLLAPSE_TEMPORARY
			: version         ? COLLAPSE_VERSION
					  : COLLAPSE_EXACT,
	};
	return 0;
}

/* Equal drafts become one, and what a draft with a star covers goes into it. */
static void merge(struct drafts *d)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->count; i++) {
		struct draft *last = kept ? &d->items[kept - 1] : NULL;
		bool same = last && !strcmp(last->text, d->items[i].text);
		bool inside = last && last->open &&
			      !strncmp(last->text, d->items[i].text, strlen(last->text));
		if (same || inside) {
			last->covered += d->items[i].covered;
			if (d->items[i].open && same) {
				last->open = true;
				last->rule = d->items[i].rule;
			}
			free(d->items[i].text);
		} else {
			d->items[kept++] = d->items[i];
		}
	}
	d->count = kept;
}

int collapse(struct collapse_path *paths, size_t count, const struct collapse_env *env,
	     struct collapse_pattern **ret)
{
	struct drafts d = { .env = env };
	int r = 0;
	*ret = NULL;
	if (!count)
		return 0;
	qsort(paths, count, sizeof(*paths), by_path);
	count = unique(paths, count);
	d.items = calloc(count, sizeof(*d.items));
	d.out = calloc(count, sizeof(*d.out));
	if (!d.items || !d.out)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++)
		if (paths[i].listed)
			r = add_draft(&d, paths, count, paths[i].path);
	if (d.count)
		qsort(d.items, d.count, sizeof(*d.items), by_text);
	merge(&d);
	if (r == 0 && d.count)
		r = emit(&d, 0, d.count, 0);
	for (size_t i = 0; i < d.count; i++)
		free(d.items[i].text);
	free(d.items);
	if (r < 0) {
		collapse_free(d.out, d.out_count);
		return r;
	}
	*ret = d.out;
	return d.out_count;
}

void collapse_free(struct collapse_pattern *patterns, int count)
{
	for (int i = 0; i < count; i++)
		free(patterns[i].text);
	free(patterns);
}
