#include "launcher/commit_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"
#include "rootfs/undo.h"

static const char *const problem_names[] = {
	[COMMIT_CONFLICT] = "conflicts",
	[COMMIT_REFUSED] = "refused",
	[COMMIT_EXECUTES] = "executables",
	[COMMIT_NOTE] = "notes",
};
enum { PROBLEM_KINDS = sizeof(problem_names) / sizeof(problem_names[0]) };

static bool can_ask(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static char letter_of(const struct commit_op *op)
{
	switch (op->kind) {
	case COMMIT_DELETE:
	case COMMIT_RMDIR:
		return 'D';
	case COMMIT_MKDIR:
		return 'A';
	case COMMIT_PUT:
		return op->old.mode ? 'M' : 'A';
	case COMMIT_META:
		return 'M';
	case COMMIT_TOUCH:
	case COMMIT_KIND_COUNT:
		break;
	}
	return 0;
}

static void print_line(char letter, const char *path, const char *why)
{
	char text[8192];
	struct buf b;
	buf_init(&b, text, sizeof(text));
	term_path(&b, path);
	if (why) {
		buf_puts(&b, ": ");
		buf_term(&b, why, strlen(why));
	}
	fprintf(stderr, "  %c %s\n", letter, text);
}

static void print_problems(const struct commit_plan *p, enum commit_problem_kind kind, char letter)
{
	for (size_t i = 0; i < p->problem_count; i++)
		if (p->problems[i].kind == kind)
			print_line(letter, p->problems[i].path, p->problems[i].why);
}

/* Deletions first, and all of them. */
static void print_steps(const struct commit_plan *p)
{
	for (const char *letter = "DMA"; *letter; letter++)
		for (size_t i = 0; i < p->count; i++)
			if (letter_of(&p->ops[i]) == *letter)
				print_line(*letter, p->ops[i].path, NULL);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static size_t count_steps(const struct commit_plan *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->count; i++)
		n += letter_of(&p->ops[i]) != 0;
	return n;
}

static void json_problems(const struct commit_plan *p, enum commit_problem_kind kind)
{
	const char *comma = "";
	printf(",\"%s\":[", problem_names[kind]);
	for (size_t i = 0; i < p->problem_count; i++) {
		if (p->problems[i].kind != kind)
			continue;
		printf("%s{", comma);
		json_member(stdout, true, "path", p->problems[i].path);
		json_member(stdout, false, "why", p->problems[i].why);
		putchar('}');
		comma = ",";
	}
	putchar(']');
}

static int print_json(const struct session *s, const struct commit_plan *p, const char *outcome,
		      int code)
{
	const char *comma = "";
	printf("{\"schema_version\":1");
	json_member(stdout, false, "session", s->id);
	json_member(stdout, false, "outcome", outcome);
	fputs(",\"changes\":[", stdout);
	for (size_t i = 0; i < p->count; i++) {
		char letter[2] = { letter_of(&p->ops[i]) };
		if (!letter[0])
			continue;
		printf("%s{", comma);
		json_member(stdout, true, "path", p->ops[i].path);
		json_member(stdout, false, "status", letter);
		putchar('}');
		comma = ",";
	}
	putchar(']');
	for (int kind = 0; kind < PROBLEM_KINDS; kind++)
		json_problems(p, (enum commit_problem_kind)kind);
	puts("}");
	int r = out_finish();
	return r ? r : code;
}

static void tell(const char *path, const char *why, void *arg)
{
	(void)arg;
	print_line('!', path, why);
}

struct choice {
	bool all, none;
};

static bool ask_each(const char *path, char letter, void *arg)
{
	struct choice *c = arg;
	if (c->all || c->none)
		return c->all;
	print_line(letter, path, NULL);
	fputs("  commit this? [y]es, [n]o, [a]ll the rest, [q]uit with what was chosen: ", stderr);
	int a = term_answer();
	c->all = a == 'a';
	c->none = a == 'q';
	return a == 'y' || a == 'a';
}

/* What speaks against it: 0 nothing, else the exit code. */
static int check(const struct session *s, const struct commit_plan *p)
{
	unsigned conflicts = commit_plan_problems(p, COMMIT_CONFLICT);
	unsigned refused = commit_plan_problems(p, COMMIT_REFUSED);
	if (conflicts) {
		log_error("%u conflict%s; nothing was committed. Commit the rest with --exclude or "
			  "by "
			  "PATH, or drop the session's with: vsandbox discard %s",
			  conflicts, conflicts == 1 ? "" : "s", s->id);
		print_problems(p, COMMIT_CONFLICT, '!');
	}
	if (refused) {
		log_error("%u change%s cannot be committed; nothing was", refused,
			  refused == 1 ? "" : "s");
		print_problems(p, COMMIT_REFUSED, '!');
	}
	return conflicts ? EXIT_CONFLICT : refused ? EXIT_USAGE : 0;
}

enum consent { CONSENT_YES, CONSENT_NO, CONSENT_MISSING };

static enum consent consent(const struct commit_wish *wish, const struct session *s,
			    const struct commit_plan *p)
{
	unsigned executes = commit_plan_problems(p, COMMIT_EXECUTES);
	bool asks = can_ask() && !wish->json && !wish->unattended;
	if (executes && !wish->yes_executable) {
		log_warn("%u of the files are run, or followed, by programs of this host:",
			 executes);
		print_problems(p, COMMIT_EXECUTES, '*');
		if (!asks) {
			log_error("nothing was committed: they need a yes of their own: vsandbox "
				  "commit "
				  "--yes-executable %s, or leave them out with --exclude",
				  s->id);
			return CONSENT_MISSING;
		}
		fputs("Let the host have them? [y/N] ", stderr);
		if (term_answer() != 'y')
			return CONSENT_NO;
	}
	if (wish->yes)
		return CONSENT_YES;
	if (!asks) {
		log_error("commit wants a yes: vsandbox commit --yes %s", s->id);
		return CONSENT_MISSING;
	}
	print_steps(p);
	size_t steps = count_steps(p);
	fprintf(stderr, "Make %zu change%s of session %s real? [y/N] ", steps, plural(steps),
		s->id);
	return term_answer() == 'y' ? CONSENT_YES : CONSENT_NO;
}

static int carry_out(const struct session *s, const struct overlay *o,
		     const struct commit_wish *wish, const struct commit_plan *p)
{
	struct err err = { "" };
	int code = check(s, p);
	const char *outcome = code ? "refused" : "planned";
	if (wish->dry_run) {
		if (!wish->json) {
			print_problems(p, COMMIT_EXECUTES, '*');
			print_problems(p, COMMIT_NOTE, '~');
			print_steps(p);
		}
	} else if (!code && !p->count) {
		log_info("there is nothing to commit in session %s%s", s->id,
			 wish->paths && wish->paths[0] ? " below these paths" : "");
		outcome = "empty";
	} else if (!code) {
		enum consent yes = consent(wish, s, p);
		if (yes != CONSENT_YES) {
			code = yes == CONSENT_MISSING ? EXIT_USAGE : 0;
			outcome = "declined";
			if (yes == CONSENT_NO)
				log_info("nothing was committed; session %s keeps its changes",
					 s->id);
		} else {
			int r = commit_run(s->dirfd, o, p, tell, NULL, &err);
			code = r == 0 ? 0 : r == -ESTALE ? EXIT_CONFLICT : EXIT_USAGE;
			outcome = r == 0 ? "committed" : "failed";
			if (r < 0)
				log_error("%s%s", err.text,
					  strstr(err.text, "vsandbox undo")
						  ? ""
						  : "; nothing was committed");
			else
				log_info("committed %zu change%s of session %s; to take back: "
					 "vsandbox undo %s",
					 count_steps(p), plural(count_steps(p)), s->id, s->id);
			if (r == 0)
				print_problems(p, COMMIT_NOTE, '~');
		}
	}
	return wish->json ? print_json(s, p, outcome, code) : code;
}

int commit_session(const struct session *s, const struct commit_wish *wish)
{
	static struct overlay overlay; /* large for a stack */
	struct commit_plan plan = { 0 };
	struct err err = { "" };
	enum commit_status status;
	struct choice choice = { 0 };
	int r = commit_status(s->dirfd, &status, &err);
	if (r == 0 && status == COMMIT_UNFINISHED)
		r = err_set(&err, EINVAL,
			    "an earlier commit of session %s was interrupted; go on with: vsandbox "
			    "commit --resume %s, or take it back: vsandbox undo %s",
			    s->id, s->id, s->id);
	if (r == 0 && status == COMMIT_UNDOING)
		r = err_set(&err, EINVAL,
			    "an earlier undo of session %s was interrupted; go on with: vsandbox "
			    "undo %s",
			    s->id, s->id);
	if (r == 0 && faccessat(s->dirfd, "layers", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		log_info("session %s holds no changes: committed, discarded, or never any", s->id);
		return wish->json ? print_json(s, &plan, "empty", 0) : 0;
	}
	if (r == 0)
		r = overlay_load(s->dirfd, &overlay, &err);
	if (r == 0) {
		uint64_t oldest, newest = 0;
		if (wish->layers == COMMIT_KEEPS)
			(void)undo_range(s->dirfd, &oldest, &newest); /* without a journal: 0 */
		struct commit_request req = {
			.layers = wish->layers,
			.journal = newest,
			.overlay = &overlay,
			.session_dirfd = s->dirfd,
			.workspace =
				wish->workspace ? wish->workspace : session_text(s, "workspace"),
			.paths = wish->paths,
			.excludes = wish->excludes,
			.want = wish->interactive ? ask_each : NULL,
			.want_arg = &choice,
			.keep_setuid = wish->keep_setuid,
		};
		r = commit_plan_make(&req, &plan, &err);
	}
	int code = EXIT_USAGE;
	if (r < 0)
		log_error("%s", err.text);
	else
		code = carry_out(s, &overlay, wish, &plan);
	commit_plan_finish(&plan);
	overlay_finish(&overlay);
	return code;
}

int commit_session_resume(const struct session *s)
{
	static struct overlay overlay; /* large for a stack */
	struct err err = { "" };
	overlay = (struct overlay){ .detached_fd = -1 };
	/* when it was interrupted near its end there is no layer left, and none is needed */
	int r = faccessat(s->dirfd, "layers.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0
			? 0
			: overlay_load(s->dirfd, &overlay, &err);
	if (r == 0)
		r = commit_resume(s->dirfd, &overlay, tell, NULL, &err);
	overlay_finish(&overlay);
	if (r < 0) {
		log_error("%s", err.text);
		return r == -ESTALE ? EXIT_CONFLICT : EXIT_USAGE;
	}
	log_info("the commit of session %s is complete; to take it back: vsandbox undo %s", s->id,
		 s->id);
	return 0;
}

int commit_session_undo(const struct session *s, bool dry_run, bool yes, bool json)
{
	struct commit_plan plan = { 0 };
	struct commit_undone undone;
	struct err err = { "" };
	int r = commit_load(s->dirfd, &plan, &err);
	if (r == -ENOENT)
		err_set(&err, ENOENT, "session %s has no commit that could be undone", s->id);
	size_t steps = count_steps(&plan);
	if (r == 0 && dry_run && json)
		return print_json(s, &plan, "planned", 0);
	if (r == 0 && !yes && !dry_run && !can_ask())
		r = err_set(&err, EINVAL, "undo wants a yes: vsandbox undo --yes %s", s->id);
	if (r == 0 && (dry_run || !yes))
		print_steps(&plan);
	commit_plan_finish(&plan);
	if (r == 0 && dry_run)
		return 0;
	if (r == 0 && !yes) {
		fprintf(stderr, "Take back %zu change%s that session %s made? [y/N] ", steps,
			plural(steps), s->id);
		if (term_answer() != 'y') {
			log_info("nothing was undone");
			return 0;
		}
	}
	if (r == 0)
		r = commit_undo(s->dirfd, &undone, tell, NULL, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (json) {
		printf("{\"schema_version\":1");
		json_member(stdout, false, "session", s->id);
		printf(",\"outcome\":\"undone\",\"restored\":%zu,\"drifted\":%zu}\n",
		       undone.restored, undone.drifted);
	}
	log_info("undid commit %u of session %s: %zu change%s taken back", undone.number, s->id,
		 undone.restored, plural(undone.restored));
	if (undone.drifted)
		log_error("left as found, changed on the host since: %zu; what the commit had "
			  "replaced there is kept, by number, in %s/%s",
			  undone.drifted, s->path, undone.drift_dir);
	r = json ? out_finish() : 0;
	return undone.drifted ? EXIT_CONFLICT : r;
}
