#include "launcher/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
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
	/* A stderr that is gone or full must not stop what we are doing. */
	ssize_t written = write(STDERR_FILENO, line, at);
	(void)written;
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
