#include "launcher/diff_patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/changes.h"
#include "launcher/pager.h"
#include "launcher/sibling.h"
#include "launcher/term.h"

struct printer {
	bool terminal, color;
};

static const char *color_of(const char *line)
{
	if (!strncmp(line, "diff ", 5) || !strncmp(line, "--- ", 4) || !strncmp(line, "+++ ", 4) ||
	    line[0] == '#')
		return TERM_DIM;
	return line[0] == '-' ? TERM_RED : line[0] == '+' ? TERM_GREEN : NULL;
}

/* 1, and so no more of them, when nobody takes them. */
static int print_line(char *text, void *arg)
{
	const struct printer *p = arg;
	if (!p->terminal) {
		puts(text);
		return ferror(stdout) != 0;
	}
	const char *color = p->color ? color_of(text) : NULL;
	fputs(color ? color : "", stdout);
	term_text(stdout, text);
	puts(color ? TERM_RESET : "");
	return ferror(stdout) != 0;
}

static int is_outside(const struct change *c, void *arg)
{
	const char *workspace = arg;
	size_t len = strlen(workspace);
	return strncmp(c->path, workspace, len) != 0 || (c->path[len] && c->path[len] != '/');
}

static int workspace_holds_all(const struct session *s, struct err *err)
{
	cleanup_free char *workspace = strdup(session_text(s, "workspace"));
	if (!workspace || !workspace[0] || !workspace[1])
		return 0;
	int r = changes_walk(s, is_outside, workspace, err);
	return r < 0 ? r : r == 0;
}

int diff_patch(const struct session *s, const char *below, struct err *err)
{
	struct stat st;
	const char *base = "";
	struct printer p = { .terminal = isatty(STDOUT_FILENO),
			     .color = term_color(STDOUT_FILENO) };
	if (below && *below && stat(below, &st) == 0 && S_ISDIR(st.st_mode)) {
		base = below;
	} else {
		int r = workspace_holds_all(s, err);
		if (r < 0)
			return r;
		if (r)
			base = session_text(s, "workspace");
	}
	struct pager pager;
	pager_begin(&pager, PAGER_ANY_LENGTH);
	fputs("# paths are relative to ", stdout);
	term_text(stdout, *base ? base : "/");
	putchar('\n');
	fflush(stdout);
	const char *args[] = { changes_are_real(s) ? "real" : "overlay", base, below ? below : "",
			       NULL };
	int r = sibling_run("patch", args, (int[]){ s->dirfd, -1 }, print_line, &p, err);
	pager_end(&pager);
	return r > 0 ? 0 : r;
}
