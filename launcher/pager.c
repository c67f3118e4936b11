#include "launcher/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/program.h"
#include "launcher/term.h"

/* The command line for a shell, as PAGER is one for every program that heeds it; NULL: none. */
static const char *command(void)
{
	char found[PATH_MAX];
	const char *given = getenv("PAGER"), *term = getenv("TERM");
	if (!term || !strcmp(term, "dumb"))
		return NULL;
	if (given)
		return *given && strcmp(given, "cat") != 0 ? given : NULL;
	return program_find("less", found) ? "less" : NULL;
}

_Noreturn static void become(const char *line, int in)
{
	/* ends by itself where a screen is enough, keeps colours, leaves the text there */
	setenv("LESS", "FRX", 0);
	if (dup2(in, STDIN_FILENO) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

void pager_begin(struct pager *p, int64_t lines)
{
	unsigned height = term_height(STDOUT_FILENO);
	int ends[2];
	*p = (struct pager){ .terminal_fd = -1 };
	const char *line = height ? command() : NULL;
	if (!line || (lines >= 0 && lines < (int64_t)height))
		return;
	term_color(STDOUT_FILENO); /* remembered: the pager shows it on the same terminal */
	fflush(stdout);
	cleanup_fd int terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (terminal < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return;
	cleanup_fd int in = ends[0], out = ends[1];
	pid_t pid = fork();
	if (pid == 0)
		become(line, in);
	if (pid < 0 || dup2(out, STDOUT_FILENO) < 0)
		return;
	*p = (struct pager){ .pid = pid, .terminal_fd = take_fd(&terminal) };
	/* the terminal's keys are the pager's; when it leaves early we end in order */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

void pager_end(struct pager *p)
{
	if (!p->pid)
		return;
	fflush(stdout);
	clearerr(stdout); /* a pipe without a reader any more */
	dup2(p->terminal_fd,
	     STDOUT_FILENO); /* the last writing end: the pager knows that this was all */
	scope_close(&p->terminal_fd);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}
