#include "scoring/shell.h"

#include <string.h>

#include "scoring/command.h"

/* A command being read; substitutions stack up inside it. */
struct scanner {
	struct finding *found;
	unsigned depth;
	struct command stack[COMMAND_DEPTH];
	char closer[COMMAND_DEPTH]; /* what ends the substitution at this level */
	bool quoted[COMMAND_DEPTH]; /* it began inside double quotes */
	unsigned level;
	char bytes[ACTION_ARGV_SIZE + COMMAND_DEPTH * COMMAND_WORDS +
		   1]; /* words without their quotes */
	size_t used;
	size_t begun[COMMAND_DEPTH]; /* where the word under way begins */
	bool open[COMMAND_DEPTH];    /* a word is under way */
};

static void word_open(struct scanner *s)
{
	if (!s->open[s->level]) {
		s->open[s->level] = true;
		s->begun[s->level] = s->used;
	}
}

static void word_put(struct scanner *s, char c)
{
	word_open(s);
	if (s->used + 2 < sizeof(s->bytes))
		s->bytes[s->used++] = c;
}

static void word_end(struct scanner *s)
{
	struct command *c = &s->stack[s->level];

	if (!s->open[s->level])
		return;
	s->open[s->level] = false;
	if (s->used + 1 >= sizeof(s->bytes))
		return;
	s->bytes[s->used++] = '\0';
	if (c->count < COMMAND_WORDS)
		c->words[c->count++] = (struct word){ s->bytes + s->begun[s->level],
						      s->used - 1 - s->begun[s->level] };
}

static void command_end(struct scanner *s, bool piped)
{
	struct command *c = &s->stack[s->level];

	word_end(s);
	command_check(c, s->depth, s->found);
	bool download = c->sends_download;
	c->count = 0;
	c->piped_download = piped && download;
	c->holds_download = false;
	c->sends_download = false;
	/* A substitution is a download when any of its commands was. */
	if (download && s->level)
		s->stack[s->level - 1].holds_download = true;
}

static bool substitution_begin(struct scanner *s, char closer, bool quoted)
{
	if (s->level + 1 >= COMMAND_DEPTH)
		return false;
	/* The word it stands in is ended: its beginning is what rows look at. */
	word_end(s);
	s->level++;
	s->stack[s->level] = (struct command){ 0 };
	s->closer[s->level] = closer;
	s->quoted[s->level] = quoted;
	s->open[s->level] = false;
	return true;
}

void shell_scan(const char *text, size_t len, unsigned depth, struct finding *f)
{
	struct scanner s;
	bool single = false, twice = false;

	if (depth >= COMMAND_DEPTH)
		return;
	s.found = f;
	s.depth = depth;
	s.level = 0;
	s.used = 0;
	s.stack[0] = (struct command){ 0 };
	s.open[0] = false;
	if (memmem(text, len, ":|:", 3) || memmem(text, len, ": | :", 5))
		finding_raise(f, .95f, "forks without end");
	for (size_t i = 0; i < len; i++) {
		char c = text[i], next = i + 1 < len ? text[i + 1] : '\0';

		if (single) {
			if (c == '\'')
				single = false;
			else
				word_put(&s, c);
		} else if (c == '\\' && next) {
			if (next != '\n')
				word_put(&s, next);
			i++;
		} else if (s.level && c == s.closer[s.level]) {
			command_end(&s, false);
			twice = s.quoted[s.level];
			s.level--;
		} else if ((c == '$' || c == '<') && next == '(' && (c == '$' || !twice)) {
			if (substitution_begin(&s, ')', twice)) {
				twice = false;
				i++;
			}
		} else if (c == '`') {
			if (substitution_begin(&s, '`', twice))
				twice = false;
		} else if (c == '"') {
			twice = !twice;
			word_open(&s);
		} else if (twice) {
			word_put(&s, c);
		} else if (c == '\'') {
			single = true;
		} else if (c == '|' && next != '|') {
			command_end(&s, true);
			i += next == '&';
		} else if (c == ';' || c == '\n' || c == '|' || c == '(' || c == ')' ||
			   (c == '&' && next != '>' && (i == 0 || text[i - 1] != '>'))) {
			command_end(&s, false);
		} else if (c == '>' && next == ' ') {
			word_end(&s);
			word_put(&s, c);
			while (i + 1 < len && text[i + 1] == ' ')
				i++;
		} else if (c == ' ' || c == '\t') {
			word_end(&s);
		} else {
			word_put(&s, c);
		}
	}
	for (;; s.level--) {
		command_end(&s, false);
		if (!s.level)
			return;
	}
}

struct finding shell_danger(const struct action *a)
{
	struct command c = { 0 };
	struct finding f = { 0 };
	const char *p = a->argv, *end = a->argv + a->argv_len;

	while (p < end && c.count < COMMAND_WORDS && c.count < a->argc) {
		size_t len = strnlen(p, (size_t)(end - p));

		if (p + len == end)
			break; /* cut in the middle: no NUL of its own */
		c.words[c.count++] = (struct word){ p, len };
		p += len + 1;
	}
	/* The program that runs decides, not the name it was given. */
	if (c.count && a->resource[0] == '/') {
		const char *name = command_base_name(a->resource);

		if (command_goes_by_name(name))
			c.words[0] = (struct word){ name, strlen(name) };
	}
	command_check(&c, 0, &f);
	return f;
}
