#include "launcher/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/term.h"

static enum log_level current = LOG_NORMAL;

void log_set_level(enum log_level level)
{
	current = level;
}

enum log_level log_get_level(void)
{
	return current;
}

enum { WAITING_SIZE = 16384 };

static struct {
	bool sparing;
	size_t len;
	unsigned dropped; /* lines that had no room */
	char text[WAITING_SIZE];
} waiting;

static bool screen_is_taken(void)
{
	return waiting.sparing && term_is_raw(STDERR_FILENO);
}

static void say(const char *text, size_t len)
{
	/* A stderr that is gone or full must not stop what we are doing. */
	ssize_t written = write(STDERR_FILENO, text, len);
	(void)written;
}

static void say_or_keep(const char *line, size_t len)
{
	if (!waiting.len && !screen_is_taken()) {
		say(line, len);
	} else if (len > WAITING_SIZE - waiting.len) {
		waiting.dropped++;
	} else {
		memcpy(waiting.text + waiting.len, line, len);
		waiting.len += len;
	}
}

void log_spare_screen(void)
{
	waiting.sparing = true;
}

bool log_tend(void)
{
	if (!waiting.len || screen_is_taken())
		return waiting.len;
	unsigned dropped = waiting.dropped;
	say(waiting.text, waiting.len);
	waiting.len = waiting.dropped = 0;
	if (dropped)
		log_warn("… %u more lines while the screen was another's; all is in: vsandbox logs",
			 dropped);
	return false;
}

void log_release(void)
{
	waiting.sparing = false;
	log_tend();
}

/* One write, so that lines of ours and of the agent do not mix within a line. */
static void emit(const char *style, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void emit(const char *style, const char *fmt, va_list ap)
{
	int saved = errno;
	char line[8192];
	bool color = term_color(STDERR_FILENO);
	int n = snprintf(line, sizeof(line), "%svsandbox:%s ", color ? style : "",
			 color ? TERM_RESET : "");
	size_t at = n > 0 ? (size_t)n : 0;
	n = vsnprintf(line + at, sizeof(line) - at, fmt, ap);
	if (n > 0)
		at += (size_t)n;
	if (at > sizeof(line) - 1)
		at = sizeof(line) - 1;
	line[at++] = '\n';
	say_or_keep(line, at);
	errno = saved;
}

#define LOG_FUNCTION(name, least, style) \
	void name(const char *fmt, ...) \
	{ \
		if (current < (least)) \
			return; \
		va_list ap; \
		va_start(ap, fmt); \
		emit(style, fmt, ap); \
		va_end(ap); \
	}

LOG_FUNCTION(log_error, LOG_QUIET, TERM_RED)
LOG_FUNCTION(log_warn, LOG_NORMAL, TERM_YELLOW)
LOG_FUNCTION(log_info, LOG_NORMAL, TERM_DIM)
LOG_FUNCTION(log_detail, LOG_VERBOSE, TERM_DIM)
