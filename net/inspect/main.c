/* The inspector's life: packets of the broker, events of its connections, the end with the broker's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/inspect/inspect.h"
#include "net/inspect/pg_tree.h"

enum { EVENTS_MAX = 128 };

static void on_packet(struct inspect_loop *l, struct broker_packet *p)
{
	if (p->m.type == BROKER_OPEN)
		inspected_open(l, p);
	else if (p->m.type == BROKER_VERDICT)
		inspected_verdict(l, p);
	else if (p->m.type == BROKER_CUT)
		inspected_cut(l, p->m.id);
	else
		l->over = true; /* not the broker's to say */
	broker_packet_finish(p);
}

static void on_channel(struct inspect_loop *l)
{
	static struct broker_packet p; /* large for a stack */

	while (!l->over) {
		int r = broker_receive(l->channel_fd, 0, &p);

		if (r == -EAGAIN)
			break;
		if (r <= 0)
			l->over = true;
		else
			on_packet(l, &p);
	}
	l->over |= broker_queue_flush(&l->out) < 0;
}

/* Told of room only while something waits for it: else each word that the broker reads would wake us. */
static void await_room(struct inspect_loop *l)
{
	bool wait = !broker_queue_empty(&l->out);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET | (wait ? EPOLLOUT : 0u) };

	if (wait != l->awaits_room &&
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->channel_fd, &event) < 0)
		l->over = true;
	l->awaits_room = wait;
}

static void serve(struct inspect_loop *l)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t ticked_ms = 0;

	while (!l->over) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, l->passing ? STANDING_MS : -1);

		l->now_ms = clock_ms();
		if (n < 0 && errno != EINTR)
			return;
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				inspected_ready(l, events[i].data.ptr, events[i].events);
			else
				on_channel(l);
		}
		inspected_bury(l);
		if (l->passing && l->now_ms - ticked_ms >= STANDING_MS / 2) {
			ticked_ms = l->now_ms;
			inspected_tick(l);
		}
		await_room(l);
	}
}

/* The grammar recurses as deep as the statement nests: on a stack made for that. */
static void *run(void *arg)
{
	struct inspect_loop *l = arg;
	struct broker_message ready = { .type = BROKER_READY };
	int r = confine_inspector();

	if (r < 0) {
		fprintf(stderr, "vsandbox-inspect: cannot confine itself: %s\n", strerror(-r));
		return NULL;
	}
	if (broker_send(l->channel_fd, &ready, NULL, 0, NULL, 0) == 0)
		serve(l);
	return NULL;
}

/* Every descriptor but the channel and the error output is given back. */
static int keep_channel(void)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
		return -errno;
	return close_range(BROKER_CHANNEL_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct inspect_loop l = { .channel_fd = BROKER_CHANNEL_FD,
				  .setup = { .classify = pg_tree_classify } };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	pthread_attr_t attr;
	pthread_t thread;
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(BROKER_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET || argc > 2 || (argc == 2 && strcmp(argv[1], "whole") != 0)) {
		fputs("vsandbox-inspect is started by vsandbox run\n", stderr);
		return 2;
	}
	l.setup.tls = argc == 2 ? WIRE_TLS_WHOLE : WIRE_TLS_REFUSE;
	signal(SIGPIPE, SIG_IGN);
	if (keep_channel() < 0 ||
	    getrandom(&l.setup.nonce, sizeof(l.setup.nonce), 0) != sizeof(l.setup.nonce) ||
	    fcntl(l.channel_fd, F_SETFL, O_NONBLOCK) < 0)
		return 1;
	broker_queue_init(&l.out, l.channel_fd);
	l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l.empty = history_new();
	if (!l.empty || l.epoll_fd < 0 ||
	    epoll_ctl(l.epoll_fd, EPOLL_CTL_ADD, l.channel_fd, &event) < 0 ||
	    pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, PG_TREE_STACK) != 0 ||
	    pthread_create(&thread, &attr, run, &l) != 0) {
		perror("vsandbox-inspect");
		return 1;
	}
	pthread_join(thread, NULL);
	return 0;
}
