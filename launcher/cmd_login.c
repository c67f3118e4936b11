/* login, logout: which control plane this host's sandboxes report to. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/path.h"
#include "launcher/server.h"
#include "launcher/uplink.h"
#include "launcher/verb.h"

enum { LOGIN_KEY_FILE, LOGIN_CA, LOGIN_REMOVE };
const struct option_spec login_options[] = {
	[LOGIN_KEY_FILE] = { "agent-key-file", 0, "FILE",
			     "read the key (role agent) from FILE; - is standard input" },
	[LOGIN_CA] = { "ca", 0, "FILE", "trust the certificates in this PEM file instead" },
	[LOGIN_REMOVE] = { "remove", 0, NULL, "report to nobody any more, as logout" },
	{ NULL },
};

/* The key's line, from a file, a pipe or the terminal, where it is not shown. Never from argv: ps shows that. */
static int read_key(const char *path, struct server *s, struct err *err)
{
	char text[SERVER_KEY_SIZE];
	struct termios old, quiet;
	bool given = path && strcmp(path, "-") != 0;
	cleanup_fd int fd =
		given ? open(path, O_RDONLY | O_CLOEXEC) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(err, errno, "%s", given ? path : "standard input");
	bool terminal = !given && tcgetattr(fd, &old) == 0;
	if (terminal) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		fputs("API key of role agent: ", stderr);
		tcsetattr(fd, TCSAFLUSH, &quiet);
	}
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (terminal) {
		tcsetattr(fd, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (n < 0)
		return err_sys(err, errno, "cannot read the key");
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (!text[0])
		return err_set(err, EINVAL,
			       "no key came from %s; give it there, or in a file: --agent-key-file",
			       given ? path : "standard input");
	int r = server_set_key(s, text, err);
	explicit_bzero(text, sizeof(text));
	return r;
}

static int fill(const struct options *o, struct server *s, struct err *err)
{
	const char *ca = options_value(o, LOGIN_CA);
	int r = server_set_url(s, o->args[0], err);
	if (r == 0 && ca)
		r = path_absolute(ca, s->ca, err);
	if (r == 0 && ca && access(s->ca, R_OK) < 0)
		r = err_sys(err, errno, "%s", s->ca);
	return r < 0 ? r : read_key(options_value(o, LOGIN_KEY_FILE), s, err);
}

static int save_checked(const struct server *s, struct err *err)
{
	char path[STATE_PATH_SIZE];
	cleanup_fd int state = state_open(path, err);
	cleanup_fd int fd = state < 0 ? state : server_pass(s, err);
	int r = fd < 0 ? fd : uplink_check(path, fd, false, NULL, err);
	return r < 0 ? r : server_save(state, s, err);
}

int cmd_logout(const struct options *o)
{
	char path[STATE_PATH_SIZE];
	struct err err;
	int r = options_want_args(o, 0, 0, &err);
	cleanup_fd int state = r < 0 ? r : state_open(path, &err);
	r = state < 0 ? state : server_remove(state, &err);
	if (r < 0 && r != -ENOENT) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	log_info(r < 0 ? "this host reported to nobody"
		       : "this host reports to nobody from the next run on");
	return 0;
}

int cmd_login(const struct options *o)
{
	static struct server s;
	struct err err;
	if (options_has(o, LOGIN_REMOVE))
		return cmd_logout(o);
	int r = options_want_args(o, 1, 1, &err);
	if (r == 0)
		r = fill(o, &s, &err);
	if (r == 0)
		r = save_checked(&s, &err);
	explicit_bzero(s.key, sizeof(s.key));
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	log_info("the next runs report to %s", s.url);
	return 0;
}
