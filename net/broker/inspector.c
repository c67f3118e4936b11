/* The broker's end of vsandbox-inspect: hands connections over, carries questions and answers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/broker/private.h"

static const char program[] = "vsandbox-inspect";

static void on_inspector(struct broker *b, struct source *s, uint32_t events)
{
	static struct broker_packet p; /* large for a stack */
	(void)events;
	bool good = channel_flush(b, b->inspector) == 0;
	while (good) {
		int r = broker_receive(s->fd, MSG_DONTWAIT, &p);
		if (r == -EAGAIN)
			return;
		good = r > 0 && relays_inspected(b, &p);
		if (r > 0)
			broker_packet_finish(&p);
	}
	/* What was inspected ends; what is new is refused. */
	source_close(s);
	relays_uninspected(b);
}

/* Beside this program. */
static int find_program(char path[static PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - sizeof(program) - 1);
	if (len < 0)
		return -errno;
	path[len] = '\0';
	strcpy(strrchr(path, '/') + 1, program);
	return access(path, X_OK) < 0 ? -errno : 0;
}

static int spawn(const char *path, const char *tls, int channel_fd)
{
	char name[] = "vsandbox-inspect", policy[16] = "";
	char *const argv[] = { name, *tls ? policy : NULL, NULL }, *const envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	strncpy(policy, tls, sizeof(policy) - 1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, channel_fd, BROKER_CHANNEL_FD);
	posix_spawn_file_actions_addclosefrom_np(&actions, BROKER_CHANNEL_FD + 1);
	int error = posix_spawn(&pid, path, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

int inspector_start(struct broker *b, const char *tls)
{
	static struct broker_packet p;
	char path[PATH_MAX];
	int pair[2], r = find_program(path);
	if (r < 0)
		return r;
	struct channel *in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		free(in);
		return r;
	}
	in->source = (struct source){ .ready = on_inspector, .fd = pair[0] };
	r = spawn(path, tls, pair[1]);
	close(pair[1]);
	if (r == 0 && (broker_receive(pair[0], 0, &p) <= 0 || p.m.type != BROKER_READY))
		r = -EPROTO;
	if (r == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = channel_open(b, in);
	if (r < 0) {
		close(pair[0]);
		free(in);
		return r;
	}
	b->inspector = in;
	return 0;
}

/* -errno: it is gone, or would miss a word. */
static int post(struct broker *b, struct broker_message *m, const char *text, const int *fds,
		unsigned fd_count)
{
	if (!b->inspector || b->inspector->source.fd < 0)
		return -ECONNABORTED;
	return channel_send(b, b->inspector, m, text, strlen(text), fds, fd_count);
}

int inspector_open(struct broker *b, struct broker_message *m, const char *name, int agent_fd,
		   int server_fd)
{
	const int fds[] = { agent_fd, server_fd };
	return post(b, m, name, fds, 2);
}

void inspector_verdict(struct broker *b, const struct broker_packet *p)
{
	struct broker_message m = p->m;
	m.address_count = 0;
	if (post(b, &m, p->text, NULL, 0) < 0)
		relays_cut(b, m.id);
}

void inspector_cut(struct broker *b, uint64_t id)
{
	struct broker_message m = { .type = BROKER_CUT, .id = id };
	post(b, &m, "", NULL, 0);
}
