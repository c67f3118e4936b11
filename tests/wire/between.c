/*
 * Stands between clients and servers as the broker and the monitor do: accepts, dials,
 * hands both ends to vsandbox-inspect, and judges what it asks by a real policy with the
 * one evaluator. Each question is a line of the log.
 *
 *   between INSPECTOR refuse|whole POLICY LOG LISTEN:SERVER:NOMINAL...
 *
 * LISTEN is a port of the loopback where connections come in, SERVER where they go,
 * NOMINAL the port that policy and inspector are told. Ends when its input does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/broker.h"
#include "policies/policy.h"
#include "scoring/history.h"
#include "scoring/judge.h"
#include "scoring/standing.h"

enum { ROUTES_MAX = 8, CONNECTIONS_MAX = 65536 };

struct route {
	int fd;
	uint16_t listen, server, nominal;
};

static struct route routes[ROUTES_MAX];
static unsigned route_count;
static uint16_t nominal_of[CONNECTIONS_MAX];
static FILE *log_file;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void listen_at(struct route *r)
{
	struct sockaddr_in at = loopback(r->listen);
	const int on = 1;

	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(r->fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(r->fd, 1024) < 0)
		die("listen");
}

static pid_t start(const char *program, const char *tls, int *ret_channel)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		if (pair[1] == BROKER_CHANNEL_FD || dup2(pair[1], BROKER_CHANNEL_FD) < 0)
			_exit(126);
		if (strcmp(tls, "whole") == 0)
			execl(program, program, tls, (char *)NULL);
		else
			execl(program, program, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	*ret_channel = pair[0];
	return pid;
}

static void hand_over(int channel, const struct route *r, uint64_t id)
{
	struct sockaddr_in to = loopback(r->server);
	const int on = 1;
	int agent = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (agent < 0)
		return;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(server, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(agent);
		close(server);
		return;
	}
	setsockopt(agent, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	struct broker_message m = {
		.type = BROKER_OPEN,
		.id = id,
		.inspect = BROKER_INSPECT_DATABASE,
		.address = { .family = AF_INET, .port = r->nominal, .bytes = { 127, 0, 0, 1 } }
	};
	nominal_of[id % CONNECTIONS_MAX] = r->nominal;
	int fds[] = { agent, server };
	if (broker_send(channel, &m, "db.test", 7, fds, 2) < 0)
		die("send to the inspector");
	close(agent);
	close(server);
}

static void judge_statement(const struct policy *policy, struct history *h,
			    const struct broker_packet *p, struct broker_message *answer, char *why,
			    size_t why_size)
{
	const char *protocol = p->text, *database = protocol + strlen(protocol) + 1;
	const char *text = database + strlen(database) + 1;
	struct timespec now;
	struct decision d;
	char resource[512], line[3 * BROKER_TEXT_MAX];
	struct buf b;

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(resource, sizeof(resource), "%s://db.test:%u/%s", protocol,
		 nominal_of[p->m.id % CONNECTIONS_MAX], database);
	const struct action a = { .type = (enum action_type)p->m.action_type,
				  .op = (enum action_op)p->m.op,
				  .resource = resource,
				  .statement = text,
				  .statement_flags = p->m.statement_flags,
				  .resolved = true,
				  .size_bytes = -1,
				  .program = "/usr/bin/client",
				  .mono_ns = (uint64_t)now.tv_sec * 1000000000u +
					     (uint64_t)now.tv_nsec,
				  .wall_ns = (uint64_t)time(NULL) * 1000000000u };
	judge(policy, AGENT_RUNNING, h, &a, &d);
	history_note(h, &a, d.verdict < VERDICT_PAUSE);
	*answer = (struct broker_message){ .type = BROKER_VERDICT,
					   .id = p->m.id,
					   .ask = p->m.ask,
					   .error = d.verdict >= VERDICT_PAUSE ? EPERM : 0 };
	if (!answer->error)
		answer->repeats = standing_count(policy, AGENT_RUNNING, h, &a, 0);
	snprintf(why, why_size, "vsandbox: %s refused (%s)", action_type_name(a.type),
		 reason_name(d.reason));
	if (!log_file)
		return;
	buf_init(&b, line, sizeof(line));
	buf_printf(&b, "%s %s %s 0x%03x %.2f ", verdict_name(d.verdict), action_type_name(a.type),
		   resource, p->m.statement_flags, (double)d.score.total);
	buf_json(&b, text, strnlen(text, 2000));
	fprintf(log_file, "%s\n", line);
	fflush(log_file);
}

static void answer_packet(int channel, const struct policy *policy, struct history *h)
{
	static struct broker_packet p;
	struct broker_message answer;
	char why[200];

	if (broker_receive(channel, 0, &p) <= 0) {
		fprintf(stderr, "the inspector is gone\n");
		exit(1);
	}
	if (p.m.type == BROKER_STATEMENT) {
		judge_statement(policy, h, &p, &answer, why, sizeof(why));
		if (broker_send(channel, &answer, why, strlen(why), NULL, 0) < 0)
			die("send to the inspector");
	} else if (log_file) {
		const char *detail =
			p.m.type == BROKER_CLASSIFIED ? p.text + strlen(p.text) + 1 : "";

		fprintf(log_file, "%s %s %s %u\n", broker_type_name(p.m.type), p.text, detail,
			p.m.repeats);
		fflush(log_file);
	}
	broker_packet_finish(&p);
}

int main(int argc, char **argv)
{
	const char *dirs[] = { "policies", NULL };
	const struct policy_env env = { .home = "/root", .workspace = "/tmp", .dirs = dirs };
	struct policy *policy;
	struct err err;
	uint64_t id = 0;
	int channel;

	if (argc < 6 || argc - 5 > ROUTES_MAX) {
		fprintf(stderr, "usage: between INSPECTOR refuse|whole POLICY LOG L:S:N...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (policy_load(argv[3], &env, &policy, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	struct history *h = history_new();
	log_file = strcmp(argv[4], "-") == 0 ? NULL : fopen(argv[4], "we");
	for (int i = 5; i < argc; i++) {
		unsigned l, s, n;

		if (sscanf(argv[i], "%u:%u:%u", &l, &s, &n) != 3)
			return 2;
		routes[route_count] = (struct route){ .listen = (uint16_t)l,
						      .server = (uint16_t)s,
						      .nominal = (uint16_t)n };
		listen_at(&routes[route_count++]);
	}
	pid_t pid = start(argv[1], argv[2], &channel);
	struct pollfd fds[ROUTES_MAX + 2] = { { .fd = STDIN_FILENO, .events = POLLIN },
					      { .fd = channel, .events = POLLIN } };
	for (unsigned i = 0; i < route_count; i++)
		fds[2 + i] = (struct pollfd){ .fd = routes[i].fd, .events = POLLIN };
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2 + route_count, -1) >= 0 || errno == EINTR) {
		if (fds[0].revents)
			break;
		if (fds[1].revents)
			answer_packet(channel, policy, h);
		for (unsigned i = 0; i < route_count; i++)
			if (fds[2 + i].revents)
				hand_over(channel, &routes[i], ++id);
	}
	close(channel);
	waitpid(pid, NULL, 0);
	history_free(h);
	policy_free(policy);
	return 0;
}
