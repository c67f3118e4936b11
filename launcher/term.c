#include "launcher/term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"

bool term_color(int fd)
{
	static signed char known[3]; /* 0 not asked, 1 no, 2 yes */
	if (fd < 0 || fd > 2)
		return false;
	if (!known[fd]) {
		const char *term = getenv("TERM");
		const char *no_color = getenv("NO_COLOR");
		bool yes = isatty(fd) && !(no_color && *no_color) && term && strcmp(term, "dumb");
		known[fd] = yes ? 2 : 1;
	}
	return known[fd] == 2;
}

static struct winsize size_of(int fd)
{
	struct winsize size = { 0 };
	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	return size;
}

unsigned term_width(int fd)
{
	return size_of(fd).ws_col;
}

unsigned term_height(int fd)
{
	return size_of(fd).ws_row;
}

bool term_is_raw(int fd)
{
	struct termios t;
	return tcgetattr(fd, &t) == 0 && !(t.c_lflag & ICANON);
}

/* Bytes of the first @count characters of UTF-8 in @text. */
static size_t bytes_of(const char *text, unsigned count)
{
	size_t at = 0;
	for (; text[at]; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && count-- == 0)
			break;
	return at;
}

void term_line(FILE *f, const char *text, unsigned width)
{
	size_t len = strlen(text);
	if (!width || bytes_of(text, width) == len)
		fprintf(f, "%s\n", text);
	else
		fprintf(f, "%.*s…\n", (int)bytes_of(text, width - 1), text);
}

void term_text(FILE *f, const char *text)
{
	size_t len = strlen(text);
	size_t size = len * 10 + 1; /* the longest escape, \u{NNNNNN}, for each byte */
	cleanup_free char *storage = malloc(size);
	if (!storage)
		return;
	struct buf b;
	buf_init(&b, storage, size);
	buf_term(&b, text, len);
	fputs(storage, f);
}

void term_path(struct buf *b, const char *path)
{
	const char *home = getenv("HOME");
	size_t len = home ? strlen(home) : 0;
	while (len > 1 && home[len - 1] == '/')
		len--;
	if (len > 1 && !strncmp(path, home, len) && (path[len] == '/' || !path[len])) {
		buf_putc(b, '~');
		path += len;
	}
	buf_term(b, path, strlen(path));
}

void term_argv(struct buf *b, char *const *argv)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-./=:,@%+";
	for (; *argv; argv++) {
		const char *word = *argv;
		if (*word && strspn(word, plain) == strlen(word)) {
			buf_puts(b, word);
		} else {
			buf_putc(b, '\'');
			for (const char *quote; (quote = strchr(word, '\'')); word = quote + 1) {
				buf_term(b, word, (size_t)(quote - word));
				buf_puts(b, "'\\''");
			}
			buf_term(b, word, strlen(word));
			buf_putc(b, '\'');
		}
		if (argv[1])
			buf_putc(b, ' ');
	}
}

int term_answer(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[64] = "";
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigdelset(&mask, signals[i]);
	if (ppoll(&p, 1, NULL, &mask) < 0 || !fgets(line, sizeof(line), stdin))
		return 'n';
	return line[0] >= 'A' && line[0] <= 'Z' ? line[0] + ('a' - 'A') : line[0];
}

void json_text(FILE *f, const char *text)
{
	size_t len = strlen(text);
	size_t size = len * 6 + 3; /* \uNNNN for each byte, quotes, NUL */
	cleanup_free char *storage = malloc(size);
	if (!storage)
		return;
	struct buf b;
	buf_init(&b, storage, size);
	buf_json(&b, text, len);
	fputs(storage, f);
}

void json_member(FILE *f, bool first, const char *name, const char *text)
{
	fprintf(f, "%s\"%s\":", first ? "" : ",", name);
	if (text)
		json_text(f, text);
	else
		fputs("null", f);
}

int out_finish(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	log_error("could not write the output: %s", strerrordesc_np(errno));
	return EXIT_USAGE;
}
