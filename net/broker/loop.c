/* The broker's life: set-up, packets of the monitor, events, the end with the monitor's. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/broker/private.h"

enum { EVENTS_MAX = 256, TICK_MS = 1000, LATER_MS = 10, DESCRIPTORS_MAX = 262144 };

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int source_add(struct broker *b, struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };
	return epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0 ? -errno : 0;
}

int source_change(struct broker *b, struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };
	return epoll_ctl(b->epoll_fd, EPOLL_CTL_MOD, s->fd, &e) < 0 ? -errno : 0;
}

void source_close(struct source *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void source_forget(struct broker *b, const struct source *s)
{
	epoll_ctl(b->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
}

void broker_bury(struct broker *b, struct corpse *c)
{
	c->next = b->corpses;
	b->corpses = c;
}

static void free_corpses(struct broker *b)
{
	while (b->corpses) {
		struct corpse *c = b->corpses;
		b->corpses = c->next;
		free(c);
	}
}

int channel_open(struct broker *b, struct channel *ch)
{
	broker_queue_init(&ch->out, ch->source.fd);
	return source_add(b, &ch->source, EPOLLIN | EPOLLET);
}

/* Told of room only while something waits for it: else each word that the other end reads would wake us. */
static void await_room(struct broker *b, struct channel *ch)
{
	bool wait = !broker_queue_empty(&ch->out);
	if (wait != ch->awaits_room)
		source_change(b, &ch->source, EPOLLIN | EPOLLET | (wait ? EPOLLOUT : 0u));
	ch->awaits_room = wait;
}

int channel_send(struct broker *b, struct channel *ch, struct broker_message *m, const char *text,
		 size_t text_len, const int *fds, unsigned fd_count)
{
	int r = broker_queue_send(&ch->out, m, text, text_len, fds, fd_count);
	await_room(b, ch);
	return r;
}

int channel_flush(struct broker *b, struct channel *ch)
{
	int r = broker_queue_flush(&ch->out);
	await_room(b, ch);
	return r;
}

/* Writes what waits; called when the channel is writable. */
static void flush(struct broker *b)
{
	b->tell_ms = 0;
	b->over |= channel_flush(b, &b->channel) < 0; /* the monitor is gone */
}

/* What the monitor would miss, nothing may go on after. */
static void tell_with(struct broker *b, struct broker_message *m, const char *text, size_t text_len,
		      const int *fds, unsigned fd_count)
{
	b->tell_ms = 0;
	b->over |= channel_send(b, &b->channel, m, text, text_len, fds, fd_count) < 0;
}

void broker_tell(struct broker *b, struct broker_message *m, const char *text, size_t text_len)
{
	tell_with(b, m, text, text_len, NULL, 0);
}

void broker_tell_later(struct broker *b, struct broker_message *m)
{
	if (broker_queue_empty(&b->channel.out))
		b->tell_ms = b->now_ms + LATER_MS;
	b->over |= broker_queue_keep(&b->channel.out, m, NULL, 0, NULL, 0) < 0;
}

/* Sockets for the monitor to connect. */
static void lend(struct broker *b, uint8_t family, unsigned wanted)
{
	struct broker_message m = { .type = BROKER_LENT, .address.family = family };
	int fds[BROKER_FDS_MAX];
	unsigned count = 0;
	while (count < wanted && count < BROKER_FDS_MAX && !m.error) {
		int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			m.error = errno;
		else
			fds[count++] = fd;
	}
	if (count)
		m.error = 0;
	tell_with(b, &m, NULL, 0, fds, count);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void on_packet(struct broker *b, struct broker_packet *p)
{
	switch ((enum broker_type)p->m.type) {
	case BROKER_OPEN:
		if (p->m.transport == BROKER_UDP)
			flows_open(b, p);
		else
			relays_open(b, p);
		break;
	case BROKER_UNLISTEN:
		listener_end(b, p->m.listener);
		break;
	case BROKER_CANCEL:
		relays_cancel(b, p->m.id);
		break;
	case BROKER_CUT:
		relays_cut(b, p->m.id);
		flows_close(b, p->m.id);
		break;
	case BROKER_FINISH:
		b->finishing = true;
		break;
	case BROKER_VERDICT:
		if (p->m.id)
			relays_verdict(b, p);
		else
			resolver_verdict(b, p);
		break;
	case BROKER_PERMITTED:
		resolver_permitted(b, p);
		break;
	case BROKER_SOCKET:
		relays_socket(b, p);
		break;
	case BROKER_LEND:
		lend(b, p->m.address.family, p->m.op);
		break;
	case BROKER_SETUP:
	case BROKER_PUBLISH: /* over */
	case BROKER_LENT:
	case BROKER_READY:
	case BROKER_UNABLE:
	case BROKER_DIALLED:
	case BROKER_FAILED:
	case BROKER_ACCEPTED:
	case BROKER_CLASSIFIED:
	case BROKER_STATEMENT:
	case BROKER_REPEATED:
	case BROKER_BYTES:
	case BROKER_CLOSED:
	case BROKER_RESOLVE:
	case BROKER_ADDRESSES:
	case BROKER_NEED_SOCKET:
	case BROKER_TYPE_COUNT:
		b->over = true; /* not the monitor's to say */
		break;
	}
	broker_packet_finish(p);
}

void broker_hear(struct broker *b)
{
	static struct broker_packet p; /* large for a stack */
	while (!b->over) {
		int r = broker_receive(b->channel.source.fd, MSG_DONTWAIT, &p);
		if (r == -EAGAIN)
			return;
		if (r <= 0)
			b->over = true;
		else
			on_packet(b, &p);
	}
}

static void on_channel(struct broker *b, struct source *s, uint32_t events)
{
	(void)s;
	(void)events;
	flush(b);
	broker_hear(b);
}

static void unable(struct broker *b, int error, const char *text)
{
	struct broker_message m = { .type = BROKER_UNABLE, .error = error };
	broker_send(b->channel.source.fd, &m, text, strlen(text), NULL, 0);
}

/* SETUP and every PUBLISH come first, and are answered once. */
static int set_up(struct broker *b)
{
	static struct broker_packet p;
	bool ready = false;
	struct confine_rules *rules;
	/* while the box is built, if it was started at once; the run waits for what comes after SETUP */
	int r = confine_prepare(&rules);
	if (r == 0)
		r = resolver_prepare(b);
	if (r < 0) {
		unable(b, -r, "cannot prepare the broker");
		return -1;
	}
	while (!ready) {
		r = broker_receive(b->channel.source.fd, 0, &p);
		if (r <= 0)
			return -1;
		if (p.m.type == BROKER_PUBLISH) {
			r = listener_publish(b, &p.m.address, (uint16_t)p.m.op);
			/* A host without IPv6 has no such loopback to publish on. */
			if (p.m.address.family == AF_INET6 &&
			    (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
				r = 0;
			if (r < 0) {
				char text[NET_ADDRESS_TEXT + 64] = "cannot listen at ", at[64];
				unable(b, -r, strcat(text, net_address_text(&p.m.address, at)));
				return -1;
			}
		} else if (p.m.type == BROKER_SETUP) {
			r = p.m.inspect & (BROKER_INSPECT_DATABASE | BROKER_INSPECT_API)
				    ? inspector_start(b, p.text)
				    : 0;
			if (r < 0) {
				unable(b, -r,
				       "cannot start vsandbox-inspect, which the policy's database "
				       "rules need");
				return -1;
			}
			r = p.fd_count ? resolver_start(b, &p) : 0;
			if (r < 0) {
				unable(b, -r, "cannot start the resolver");
				return -1;
			}
			ready = true;
		} else {
			return -1;
		}
		broker_packet_finish(&p);
	}
	r = confine_broker(rules);
	if (r < 0) {
		unable(b, -r, "cannot confine the broker");
		return -1;
	}
	struct broker_message m = { .type = BROKER_READY };
	return broker_send(b->channel.source.fd, &m, NULL, 0, NULL, 0);
}

static void serve(struct broker *b)
{
	uint64_t tick_ms = now_ms() + TICK_MS;
	bool more = false;
	while (!b->over) {
		struct epoll_event events[EVENTS_MAX];
		uint64_t now = now_ms();
		uint64_t next_ms = b->tell_ms && b->tell_ms < tick_ms ? b->tell_ms : tick_ms;
		int wait_ms = now >= next_ms ? 0 : (int)(next_ms - now);
		int n = epoll_wait(b->epoll_fd, events, EVENTS_MAX,
				   more ? 0 : resolver_timeout(b, wait_ms));
		if (n < 0 && errno != EINTR)
			return;
		b->now_ms = now_ms();
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;
			if (s->fd >= 0)
				s->ready(b, s, events[i].events);
		}
		if (b->finishing) {
			b->finishing = false;
			relays_finish(b);
			flows_finish(b);
		}
		more = relays_run(b);
		resolver_tick(b);
		if (b->tell_ms && b->now_ms >= b->tell_ms)
			flush(b);
		if (b->now_ms >= tick_ms) {
			relays_tick(b);
			flows_tick(b);
			tick_ms = b->now_ms + TICK_MS;
		}
		free_corpses(b);
	}
}

/* Two descriptors a connection; root may have as many as the kernel gives, others what they are left. */
static void raise_limit(void)
{
	const struct rlimit wanted = { .rlim_cur = DESCRIPTORS_MAX, .rlim_max = DESCRIPTORS_MAX };
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 ||
	    (lim.rlim_max < DESCRIPTORS_MAX && setrlimit(RLIMIT_NOFILE, &wanted) == 0))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

int main(int argc, char **argv)
{
	(void)argv;
	struct broker b = { .channel.source = { .ready = on_channel, .fd = BROKER_CHANNEL_FD } };
	int type = 0;
	socklen_t len = sizeof(type);
	if (argc != 1 || getsockopt(BROKER_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET) {
		static const char text[] = "vsandbox-net is started by vsandbox run\n";
		return write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? 125 : 2;
	}
	/* started by a descriptor it would be called a number */
	prctl(PR_SET_NAME, "vsandbox-net", 0, 0, 0);
	/*
	 * Tables of which a run touches a few pages get mappings of their own, which nobody clears. Only where
	 * the heap's last block has no room for them: so that is kept small.
	 */
	mallopt(M_MMAP_THRESHOLD, 32 * 1024);
	mallopt(M_TOP_PAD, 4 * 1024);
	/* Signals of the terminal are the agent's; our end is the channel's. */
	setsid();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	raise_limit();
	b.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	b.relays = relays_new();
	b.flows = flows_new();
	if (b.epoll_fd < 0 || !b.relays || !b.flows || set_up(&b) < 0)
		return 1;
	if (fcntl(BROKER_CHANNEL_FD, F_SETFL, O_NONBLOCK) < 0 || channel_open(&b, &b.channel) < 0)
		return 1;
	serve(&b);
	return 0;
}
