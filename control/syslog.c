#include "control/syslog.h"

#include <errno.h>
#include <json-c/json.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "control/json.h"

enum {
	SEND_S = 5,
	HOST_SIZE = 256,
	PORT_SIZE = 6,
	NAME_MAX_BYTES = 64,
	/* With these a message stays within the 2,048 bytes that a receiver of RFC 5426 should take. */
	VALUE_MAX = 96,
	MESSAGE_MAX = 768,
};

enum wire { WIRE_UNIX, WIRE_UDP, WIRE_TCP, WIRE_COUNT };
static const char *const wires[] = {
	[WIRE_UNIX] = "unix:", [WIRE_UDP] = "udp:", [WIRE_TCP] = "tcp:"
};
_Static_assert(sizeof(wires) / sizeof(wires[0]) == WIRE_COUNT, "a word each");

struct target {
	enum wire wire;
	struct sockaddr_un path;
	char host[HOST_SIZE], port[PORT_SIZE];
};

struct syslog {
	struct target target;
	char hostname[NAME_MAX_BYTES + 1];
	int fd; /* -1: not connected */
	struct outbox *outbox;
};

/* ---- where to -------------------------------------------------------------------------------------- */

static int parse_path(const char *text, struct target *ret)
{
	ret->path.sun_family = AF_UNIX;
	if (*text != '/' || strlen(text) >= sizeof(ret->path.sun_path))
		return -EINVAL;
	memcpy(ret->path.sun_path, text, strlen(text) + 1);
	return 0;
}

static int parse_address(const char *text, struct target *ret)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0, digits = colon ? strlen(colon + 1) : 0;
	if (len > 1 && *text == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (colon && memchr(text, ':', len)) {
		return -EINVAL;
	}
	if (len == 0 || len >= HOST_SIZE || digits == 0 || digits >= PORT_SIZE ||
	    strspn(colon + 1, "0123456789") != digits || strtol(colon + 1, NULL, 10) > 65535)
		return -EINVAL;
	memcpy(ret->host, text, len);
	memcpy(ret->port, colon + 1, digits);
	return 0;
}

static int parse_target(const char *text, struct target *ret)
{
	*ret = (struct target){ .wire = WIRE_UNIX };
	while (ret->wire < WIRE_COUNT &&
	       strncmp(wires[ret->wire], text, strlen(wires[ret->wire])) != 0)
		ret->wire++;
	if (ret->wire == WIRE_COUNT)
		return -EINVAL;
	text += strlen(wires[ret->wire]);
	return ret->wire == WIRE_UNIX ? parse_path(text, ret) : parse_address(text, ret);
}

static int connect_to(int family, int type, int protocol, const struct sockaddr *address,
		      socklen_t size)
{
	const struct timeval patience = { .tv_sec = SEND_S }; /* connect() heeds it, too */
	cleanup_fd int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, address, size) < 0)
		return -errno;
	return take_fd(&fd);
}

static int connect_host(const struct target *t, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype =
						t->wire == WIRE_TCP ? SOCK_STREAM : SOCK_DGRAM };
	struct addrinfo *list = NULL;
	int r = getaddrinfo(t->host, t->port, &hints, &list), fd = -EHOSTUNREACH;
	if (r != 0)
		return err_set(err, EHOSTUNREACH, "syslog: %s", gai_strerror(r));
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = connect_to(a->ai_family, a->ai_socktype, a->ai_protocol, a->ai_addr,
				a->ai_addrlen);
	freeaddrinfo(list);
	return fd < 0 ? err_sys(err, -fd, "syslog: cannot connect") : fd;
}

static int connect_target(const struct target *t, struct err *err)
{
	if (t->wire != WIRE_UNIX)
		return connect_host(t, err);
	int fd = connect_to(AF_UNIX, SOCK_DGRAM, 0, (const struct sockaddr *)&t->path,
			    sizeof(t->path));
	return fd < 0 ? err_sys(err, -fd, "syslog: cannot connect") : fd;
}

/* A receiver that was restarted has closed its end: what is written into that is lost without a word. */
static bool is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

static int send_whole(int fd, const char *text, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0)
			return err_sys(err, errno, "syslog: cannot send");
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ---- one message ----------------------------------------------------------------------------------- */

static int severity_of(const char *level)
{
	static const struct {
		const char *level;
		int severity;
	} rows[] = { { "critical", LOG_CRIT }, { "high", LOG_ERR }, { "medium", LOG_WARNING } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].level, level) == 0)
			return rows[i].severity;
	return LOG_NOTICE;
}

/* At most @max bytes of @text and whole characters; what would control a terminal that shows the log becomes '?'. */
static void put_clean(FILE *f, const char *text, size_t max, const char *escaped)
{
	size_t len = strnlen(text, max + 1);
	if (len > max)
		for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool c1 = c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0;
		i += c1;
		if (c < ' ' || c == 0x7f || c1) {
			fputc('?', f);
			continue;
		}
		if (strchr(escaped, c))
			fputc('\\', f);
		fputc(c, f);
	}
}

/* 32473 is the number that RFC 5612 keeps for examples: the program has none of its own. */
static void put_data(FILE *f, struct json_object *alert)
{
	static const struct {
		const char *name, *member;
	} rows[] = {
		{ "id", "id" },         { "level", "level" },        { "agent", "agent_id" },
		{ "count", "count" },   { "session", "session_id" }, { "action", "action_id" },
		{ "source", "source" },
	};
	fputs("[alert@32473", f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *value = json_member(alert, rows[i].member);
		if (!*value)
			continue;
		fprintf(f, " %s=\"", rows[i].name);
		put_clean(f, value, VALUE_MAX, "\"\\]");
		fputc('"', f);
	}
	fputc(']', f);
}

static void put_sentence(FILE *f, struct json_object *alert, enum outbox_news news)
{
	fprintf(f, "[%s] ", json_member(alert, "level"));
	put_clean(f, json_member(alert, "agent_id"), VALUE_MAX, "");
	fputs(": ", f);
	put_clean(f, json_member(alert, "message"), MESSAGE_MAX, "");
	if (news == OUTBOX_REPEATED)
		fprintf(f, " (%s times)", json_member(alert, "count"));
}

static void put_rfc5424(const struct syslog *s, FILE *f, struct json_object *alert,
			enum outbox_news news)
{
	int priority = LOG_DAEMON | severity_of(json_member(alert, "level"));
	fprintf(f, "<%d>1 %s %s vsandbox %d %s ", priority,
		json_member(alert, news == OUTBOX_REPEATED ? "last_at" : "created_at"), s->hostname,
		(int)getpid(), outbox_event(news));
	put_data(f, alert);
	fputc(' ', f);
	put_sentence(f, alert, news);
}

static void put_local(FILE *f, struct json_object *alert, enum outbox_news news)
{
	int priority = LOG_DAEMON | severity_of(json_member(alert, "level"));
	char stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", localtime_r(&now, &tm));
	fprintf(f, "<%d>%s vsandbox[%d]: ", priority, stamp, (int)getpid());
	put_sentence(f, alert, news);
	fputc(' ', f);
	put_data(f, alert);
}

/* Owned by the caller. */
static char *message_of(const struct syslog *s, struct json_object *alert, enum outbox_news news)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	if (s->target.wire == WIRE_UNIX)
		put_local(f, alert, news);
	else
		put_rfc5424(s, f, alert, news);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static int send_message(struct syslog *s, const char *text, struct err *err)
{
	char count[16];
	int len = snprintf(count, sizeof(count), "%zu ", strlen(text));
	int r = s->target.wire == WIRE_TCP ? send_whole(s->fd, count, (size_t)len, err) : 0;
	return r < 0 ? r : send_whole(s->fd, text, strlen(text), err);
}

static void hang_up(struct syslog *s)
{
	scope_close(&s->fd);
	s->fd = -1;
}

static enum outbox_answer carry(void *arg, const struct worker *worker, struct json_object *alert,
				enum outbox_news news, struct err *err)
{
	(void)worker; /* no wait here is longer than SEND_S */
	struct syslog *s = arg;
	cleanup_free char *text = message_of(s, alert, news);
	if (!text) {
		err_set(err, ENOMEM, "syslog: out of memory");
		return OUTBOX_FAILED;
	}
	if (s->fd >= 0 && is_closed(s->fd))
		hang_up(s);
	if (s->fd < 0) {
		int fd = connect_target(&s->target, err);
		if (fd < 0)
			return OUTBOX_FAILED;
		s->fd = fd;
	}
	if (send_message(s, text, err) == 0)
		return OUTBOX_TAKEN;
	hang_up(s);
	return OUTBOX_FAILED;
}

/* ---- life ------------------------------------------------------------------------------------------- */

int syslog_check(const struct syslog_plan *plan, struct err *err)
{
	struct target target;
	tzset();
	if (parse_target(plan->target, &target) == 0)
		return 0;
	return err_set(err, EINVAL,
		       "--syslog %.200s: not unix:PATH, udp:HOST:PORT nor tcp:HOST:PORT",
		       plan->target);
}

/* A name as the head of a message may have it: printable, without blanks. */
static void read_hostname(char ret[static NAME_MAX_BYTES + 1])
{
	if (gethostname(ret, NAME_MAX_BYTES) < 0 || !*ret)
		strcpy(ret, "-");
	ret[NAME_MAX_BYTES] = '\0';
	for (char *c = ret; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '-';
}

struct syslog *syslog_new(const struct syslog_plan *plan, struct store *store,
			  struct metrics *metrics)
{
	struct syslog *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->fd = -1;
	read_hostname(s->hostname);
	const struct outbox_plan queue = { .id = OUTBOX_SYSLOG,
					   .delivered = METRIC_SYSLOG_DELIVERED,
					   .failed = METRIC_SYSLOG_FAILED,
					   .dropped = METRIC_SYSLOG_DROPPED,
					   .window_us = plan->window_us,
					   .send = carry,
					   .arg = s };
	if (parse_target(plan->target, &s->target) == 0)
		s->outbox = outbox_new(&queue, store, metrics);
	if (!s->outbox) {
		syslog_stop(s);
		return NULL;
	}
	return s;
}

void syslog_stop(struct syslog *s)
{
	if (!s)
		return;
	outbox_stop(s->outbox);
	hang_up(s);
	free(s);
}
