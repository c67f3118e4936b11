#include "launcher/approvals.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/verdict.h"
#include "launcher/eventfile.h"
#include "launcher/kept.h"
#include "launcher/log.h"
#include "launcher/term.h"

enum { HASTY_MS = 250 }; /* a key within that time was on its way to the agent */

void approvals_init(struct approvals *a, const struct control_host *host, const char *session,
		    const struct policy *policy, enum approve_by by)
{
	*a = (struct approvals){
		.host = host, .session = session, .policy = policy, .by = by, .tty_fd = -1
	};
	if (by == APPROVE_TTY)
		a->tty_fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static struct approval *find(struct approvals *a, uint32_t id)
{
	for (unsigned i = 0; id && i < HOLD_QUESTIONS; i++)
		if (a->items[i].id == id)
			return &a->items[i];
	return NULL;
}

static void pass_over(struct approvals *a, uint32_t id)
{
	struct approval *p = find(a, id);
	if (p)
		p->passed_over = true;
}

static int request_freeze(struct approvals *a, bool on)
{
	return a->host->ask(a->host->gateway, REQUEST_PROMPT,
			    on ? "{\"on\":true}" : "{\"on\":false}",
			    on ? APPROVALS_TICKET : APPROVALS_TICKET + 1);
}

/* The terminal is the agent's again, as it was. */
static void give_back(struct approvals *a)
{
	if (a->prompt == PROMPT_SHOWN) {
		tcsetattr(a->tty_fd, TCSANOW, &a->termios);
		if (a->foreground != getpgrp())
			tcsetpgrp(a->tty_fd, a->foreground);
	}
	if (a->prompt != PROMPT_NONE)
		request_freeze(a, false);
	a->prompt = PROMPT_NONE;
	a->asked = 0;
}

void approvals_finish(struct approvals *a)
{
	if (a->prompt == PROMPT_SHOWN)
		dprintf(a->tty_fd, "\n");
	give_back(a);
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		json_object_put(a->items[i].event);
	scope_close(&a->tty_fd);
	*a = (struct approvals){ .tty_fd = -1 };
}

void approvals_held(struct approvals *a, uint32_t id, const char *text)
{
	struct json_object *o = json_tokener_parse(text);
	struct json_object *event = json_object_object_get(o, "event");
	for (unsigned i = 0; event && i < HOLD_QUESTIONS; i++) {
		struct approval *p = &a->items[i];
		if (p->id)
			continue;
		*p = (struct approval){
			.id = id,
			.deadline_ms = clock_ms() + (uint64_t)event_number(o, "remaining_ms"),
			.event = json_object_get(event),
		};
		a->count++;
		break;
	}
	json_object_put(o);
	approvals_prompt(a);
	if (a->prompt != PROMPT_NONE)
		return;
	if (a->tty_fd >= 0 && term_is_raw(a->tty_fd))
		dprintf(a->tty_fd, "\a"); /* the words wait until the screen is nobody's */
	log_info("approval %u waits: vsandbox approve list %s", id, a->session);
}

void approvals_settled(struct approvals *a, uint32_t id, bool denied)
{
	struct approval *p = find(a, id);
	if (!p)
		return;
	a->denied_any |= denied;
	if (a->asked == id) {
		if (a->prompt == PROMPT_SHOWN)
			dprintf(a->tty_fd, "(over)\n");
		give_back(a);
	}
	json_object_put(p->event);
	*p = (struct approval){ 0 };
	a->count--;
	approvals_prompt(a);
}

int approvals_answer(struct approvals *a, uint32_t id, bool allow, enum hold_scope scope,
		     const char *by, uint32_t ticket, struct err *err)
{
	const struct approval *p = find(a, id);
	if (!p)
		return err_set(err, ENOENT, "no such approval waits");
	int kept = allow && scope == SCOPE_ALWAYS ? kept_add(a->policy, p->event, err) : 0;
	if (kept < 0)
		return kept;
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "id", json_object_new_int64(id));
	json_object_object_add(o, "allow", json_object_new_boolean(allow));
	json_object_object_add(o, "session", json_object_new_boolean(scope != SCOPE_ONCE));
	json_object_object_add(o, "by", json_object_new_string(by));
	int r = a->host->ask(a->host->gateway, REQUEST_ANSWER,
			     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), ticket);
	json_object_put(o);
	a->denied_any |= r == 0 && !allow;
	return r < 0 ? err_set(err, -r, "the monitor is busy") : 0;
}

void approvals_list(const struct approvals *a, FILE *f)
{
	uint64_t now = clock_ms();
	const char *comma = "";
	fputc('[', f);
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++) {
		const struct approval *p = &a->items[i];
		if (!p->id)
			continue;
		fprintf(f, "%s{\"id\":%u", comma, p->id);
		json_member(f, false, "session", a->session);
		fprintf(f, ",\"remaining_ms\":%llu,\"action\":%s}",
			(unsigned long long)(p->deadline_ms > now ? p->deadline_ms - now : 0),
			json_object_to_json_string_ext(p->event, JSON_C_TO_STRING_PLAIN));
		comma = ",";
	}
	fputc(']', f);
}

/* Does that process group belong to the sandbox? Its members have a number there as well. */
static bool inside(pid_t group)
{
	char name[64], line[256];
	snprintf(name, sizeof(name), "/proc/%d/status", group);
	cleanup_file FILE *f = fopen(name, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "NSpid:\t", 7))
			return strchr(line + 7, '\t') != NULL;
	return false;
}

/* May the terminal be borrowed now? Fills what is to be given back. */
static bool borrowable(struct approvals *a)
{
	a->foreground = a->tty_fd < 0 ? -1 : tcgetpgrp(a->tty_fd);
	return a->foreground > 0 && (a->foreground == getpgrp() || inside(a->foreground)) &&
	       tcgetattr(a->tty_fd, &a->termios) == 0 && (a->termios.c_lflag & ICANON);
}

void approvals_prompt(struct approvals *a)
{
	if (a->prompt != PROMPT_NONE || !a->count || !borrowable(a))
		return;
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++) {
		if (!a->items[i].id || a->items[i].passed_over)
			continue;
		if (request_freeze(a, true) < 0)
			return; /* the monitor is busy; at the next occasion */
		a->asked = a->items[i].id;
		a->prompt = PROMPT_FREEZING;
		a->freezing++;
		return;
	}
}

bool approvals_tend(struct approvals *a)
{
	bool open = false;
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		open |= a->items[i].id && !a->items[i].passed_over;
	if (!open || a->prompt != PROMPT_NONE || a->tty_fd < 0)
		return false;
	bool raw = term_is_raw(a->tty_fd);
	if (a->screen_taken && !raw)
		approvals_prompt(a);
	a->screen_taken = raw;
	return raw;
}

static void line(FILE *f, const char *name, const char *text)
{
	if (!*text)
		return;
	fprintf(f, "  %-10s", name);
	term_text(f, text);
	fputs("\r\n", f);
}

static void line_list(FILE *f, const char *name, struct json_object *list)
{
	if (!json_object_is_type(list, json_type_array) || !json_object_array_length(list))
		return;
	fprintf(f, "  %-10s", name);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));
		fputs(i ? " " : "", f);
		term_text(f, text && *text ? text : "''");
	}
	fputs("\r\n", f);
}

/* Who started whom; a program that nobody may look at has no name. */
static void line_ancestry(FILE *f, struct json_object *list)
{
	const char *between = "";
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(list, i));
		if (!text || !*text)
			continue;
		if (*between)
			fputs(between, f);
		else
			fprintf(f, "  %-10s", "from");
		term_text(f, text);
		between = " < ";
	}
	if (*between)
		fputs("\r\n", f);
}

static void line_score(FILE *f, const struct json_object *event)
{
	struct json_object *scores = json_object_object_get(event, "scores");
	fprintf(f, "  %-10s%.2f", "score", event_real(event, "score"));
	for (int d = 0; d < DIMENSION_COUNT; d++) {
		const char *name = dimension_name((enum dimension)d);
		struct json_object *one = json_object_object_get(scores, name);
		fprintf(f, "%s%s %.2f", d ? ", " : " = ", name, one ? event_real(one, "x") : 0);
	}
	fputs("\r\n", f);
}

static void show_action(const struct json_object *e, FILE *f)
{
	term_text(f, event_text(e, "type"));
	fprintf(f, " (%s) ", event_text(e, "op"));
	term_text(f, event_text(e, "resource"));
	fputs("\r\n", f);
	line(f, "to", event_text(e, "resource2"));
	line(f, "asked as", event_text(e, "alias"));
	line_list(f, "command", json_object_object_get(e, "argv"));
	line(f, "in", event_text(e, "cwd"));
	line(f, "address", event_text(e, "address"));
	line_list(f, "opened", json_object_object_get(e, "flags"));
	if (json_object_object_get(e, "size"))
		fprintf(f, "  %-10s%lld bytes, %s%s\r\n", "now", (long long)event_number(e, "size"),
			event_text(e, "provenance"),
			!strcmp(event_text(e, "type"), "file_write")
				? "; what will be written is not known before"
				: "");
	line(f, "program", event_text(e, "program"));
	line_ancestry(f, json_object_object_get(e, "ancestry"));
	line(f, "because",
	     *event_text(e, "rule") ? event_text(e, "rule") : event_text(e, "reason"));
	line_score(f, e);
	fputs("  [a]llow once, allow for the [s]ession, [A]lways, [d]eny, [l]ater, [K]ill the run ",
	      f);
}

/* Of CPU, memory or processes: nothing smaller than the run can be denied. */
static void show_threshold(const struct json_object *e, FILE *f)
{
	term_text(f, event_text(e, "text"));
	fputs("\r\n", f);
	line(f, "because", "it is above the policy's threshold; everything is frozen meanwhile");
	fputs("  [a]llow until it was below again, allow for the [s]ession, [d]eny and end the "
	      "run, "
	      "[l]ater ",
	      f);
}

static void show(const struct approval *p, FILE *f)
{
	uint64_t now = clock_ms();
	fprintf(f, "\r\nvsandbox: approval %u: ", p->id);
	if (*event_text(p->event, "type"))
		show_action(p->event, f);
	else
		show_threshold(p->event, f);
	fprintf(f, "(%llu s; denied then) ",
		(unsigned long long)(p->deadline_ms > now ? (p->deadline_ms - now) / 1000 : 0));
}

void approvals_reply(struct approvals *a, int result)
{
	struct approval *p = find(a, a->asked);
	int typed = 0;
	/* The last one counts: for those before it the freeze was given up again. */
	if (--a->freezing || a->prompt != PROMPT_FREEZING)
		return;
	if (result < 0 || !p || !borrowable(a)) {
		give_back(a);
		return;
	}
	struct termios own = a->termios;
	own.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	own.c_cc[VMIN] = 1;
	own.c_cc[VTIME] = 0;
	if (a->foreground != getpgrp())
		tcsetpgrp(a->tty_fd, getpgrp());
	a->prompt = PROMPT_SHOWN;
	tcsetattr(a->tty_fd, TCSANOW, &own);
	if (ioctl(a->tty_fd, FIONREAD, &typed) < 0 || typed > 0) {
		/* Typed for the agent: it is not ours to read, and no answer. */
		p->passed_over = true;
		give_back(a);
		log_info("approval %u waits, behind what was typed: vsandbox approve list %s",
			 p->id, a->session);
		return;
	}
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (f) {
		show(p, f);
		if (fclose(f) == 0)
			dprintf(a->tty_fd, "%s", text);
	}
	a->shown_ms = clock_ms();
}

struct pollfd approvals_poll(const struct approvals *a)
{
	return (struct pollfd){ .fd = a->prompt == PROMPT_SHOWN ? a->tty_fd : -1,
				.events = POLLIN };
}

static void decided(struct approvals *a, bool allow, enum hold_scope scope, const char *said)
{
	uint32_t id = a->asked;
	struct err err = { "" };
	dprintf(a->tty_fd, "%s\n", said);
	give_back(a);
	pass_over(a, id); /* until the monitor says that it is over */
	int r = approvals_answer(a, id, allow, scope, "on the terminal", APPROVALS_TICKET + 1,
				 &err);
	struct approval *p = find(a, id);
	if (r < 0 && p) { /* not answered: asked once more */
		log_warn("%s", err.text);
		p->passed_over = false;
		approvals_prompt(a);
	}
}

void approvals_key(struct approvals *a)
{
	char key;
	ssize_t n = read(a->tty_fd, &key, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* hung up */
		pass_over(a, a->asked);
		give_back(a);
		return;
	}
	if (clock_ms() - a->shown_ms < HASTY_MS)
		return;
	switch (key) {
	case 'a':
		decided(a, true, SCOPE_ONCE, "allowed once");
		break;
	case 's':
		decided(a, true, SCOPE_SESSION, "allowed for this session");
		break;
	case 'A':
		decided(a, true, SCOPE_ALWAYS, "allowed always, in this session and later ones");
		break;
	case 'd':
		decided(a, false, SCOPE_ONCE, "denied");
		break;
	case 'l':
		dprintf(a->tty_fd, "later: vsandbox approve list %s\n", a->session);
		pass_over(a, a->asked);
		give_back(a);
		approvals_prompt(a);
		break;
	case 'K':
		dprintf(a->tty_fd, "ending the run\n");
		a->denied_any = true;
		give_back(a);
		a->host->end(a->host->gateway, "approval denied");
		break;
	default:
		dprintf(a->tty_fd, "\a");
	}
}

void approvals_withdraw(struct approvals *a)
{
	if (a->prompt == PROMPT_SHOWN)
		dprintf(a->tty_fd, "\n");
	give_back(a);
}
