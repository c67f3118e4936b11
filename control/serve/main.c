/* vsandbox-serve: the control plane. Started by `vsandbox serve`. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "control/alerts.h"
#include "control/confine.h"
#include "control/events.h"
#include "control/http.h"
#include "control/listener.h"
#include "control/live.h"
#include "control/metrics.h"
#include "control/rates.h"
#include "control/syslog.h"
#include "control/upkeep.h"
#include "control/webhook.h"
#include "scoring/mask.h"

enum {
	EXIT_SETUP = 125,
	PEM_MAX = 1 << 20,
	KEY_RATE = 10000,
	PER_ADDRESS = 4096,
	REQUEST_S = 30,
	HEAPS = 4
};

struct flags {
	const char *listen, *db, *cert, *key, *port_file, *webhook, *webhook_secret, *syslog;
	unsigned key_rate, per_address, request_s, mask, window_s, keep_days;
};

/* The program's parts, from the first that is readied to the last that is stopped. */
struct parts {
	struct flags flags;
	struct server server;
	struct http_plan plan;
	struct webhook_plan webhook_plan;
	struct syslog_plan syslog_plan;
	struct http *http;
	struct webhook *webhook;
	struct syslog *syslog;
	struct upkeep *upkeep;
	char address[64];
	char *cert, *key, *secret; /* owned */
	int port_file;             /* owned; -1 none */
	bool landlock;
};

static int fail(const struct err *err)
{
	fprintf(stderr, "vsandbox: serve: %s\n", err->text);
	return EXIT_SETUP;
}

static bool read_number(const char *text, unsigned *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	*ret = (unsigned)n;
	return *text >= '0' && *text <= '9' && !*end && n <= 1000000;
}

static int read_flags(int argc, char **argv, struct flags *ret)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "db", required_argument, NULL, 'd' },
		{ "tls-cert", required_argument, NULL, 'c' },
		{ "tls-key", required_argument, NULL, 'k' },
		{ "port-file", required_argument, NULL, 'p' },
		{ "key-rate", required_argument, NULL, 'r' },
		{ "connections-per-address", required_argument, NULL, 'a' },
		{ "request-timeout", required_argument, NULL, 't' },
		{ "webhook", required_argument, NULL, 'w' },
		{ "webhook-secret-file", required_argument, NULL, 's' },
		{ "syslog", required_argument, NULL, 'y' },
		{ "alert-window", required_argument, NULL, 'i' },
		{ "keep-days", required_argument, NULL, 'e' },
		{ "no-mask", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	*ret = (struct flags){ .listen = "127.0.0.1:7878",
			       .key_rate = KEY_RATE,
			       .per_address = PER_ADDRESS,
			       .request_s = REQUEST_S,
			       .mask = MASK_ALL,
			       .window_s = ALERT_WINDOW_S,
			       .keep_days = UPKEEP_DAYS };
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'l')
			ret->listen = optarg;
		else if (o == 'd')
			ret->db = optarg;
		else if (o == 'c')
			ret->cert = optarg;
		else if (o == 'k')
			ret->key = optarg;
		else if (o == 'p')
			ret->port_file = optarg;
		else if (o == 'r' && read_number(optarg, &ret->key_rate))
			continue;
		else if (o == 't' && read_number(optarg, &ret->request_s) && ret->request_s)
			continue;
		else if (o == 'w')
			ret->webhook = optarg;
		else if (o == 's')
			ret->webhook_secret = optarg;
		else if (o == 'y')
			ret->syslog = optarg;
		else if (o == 'i' && read_number(optarg, &ret->window_s))
			continue;
		else if (o == 'e' && read_number(optarg, &ret->keep_days))
			continue;
		else if (o == 'm')
			ret->mask = 0;
		else if (o == 'a' && read_number(optarg, &ret->per_address))
			continue;
		else
			return -EINVAL;
	}
	return optind == argc && ret->db ? 0 : -EINVAL;
}

/* "ADDRESS:PORT", with an IPv6 address in brackets. */
static int split_address(const char *text, char address[static 64], uint16_t *ret_port,
			 struct err *err)
{
	const char *colon = strrchr(text, ':');
	char *end;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;
	size_t len = colon ? (size_t)(colon - text) : 0;
	if (!colon || colon[1] == '\0' || *end || port < 0 || port > 65535 || len == 0 || len >= 64)
		return err_set(err, EINVAL, "--listen %s: not ADDRESS:PORT", text);
	if (*text == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	memcpy(address, text, len);
	address[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

/* A file of text; owned by the caller. */
static int read_text(const char *path, char **ret, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (st.st_size > PEM_MAX)
		return err_set(err, EFBIG, "%s is too large", path);
	char *text = calloc(1, (size_t)st.st_size + 1);
	if (!text || read(fd, text, (size_t)st.st_size) != st.st_size) {
		free(text);
		return err_sys(err, errno, "%s", path);
	}
	*ret = text;
	return 0;
}

/* A store that nobody can enter gets its first key, shown once. */
static int64_t first_key(struct db *db, void *arg, struct err *err)
{
	char *text = arg;
	struct key key;
	text[0] = '\0';
	int64_t n = key_count(db, ROLE_ADMIN, err);
	if (n != 0)
		return n < 0 ? n : 0;
	return key_create(db, "first admin", ROLE_ADMIN, text, &key, err);
}

/* Before the program is confined; what is written there comes when it serves. */
static int open_port_file(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd < 0 ? err_sys(err, errno, "%s", path) : fd;
}

/* ---- the steps of a start -------------------------------------------------------------------------- */

/* Should: whatever needs a path, a privilege or a process. Mustn't: threads, or anything that came from outside. */
static int ready_files(struct parts *p, struct err *err)
{
	const struct flags *f = &p->flags;
	uint16_t port;
	int r = split_address(f->listen, p->address, &port, err);
	if (r == 0 && f->cert)
		r = read_text(f->cert, &p->cert, err);
	if (r == 0 && f->key)
		r = read_text(f->key, &p->key, err);
	if (r == 0 && f->webhook_secret)
		r = read_text(f->webhook_secret, &p->secret, err);
	if (r == 0)
		r = p->plan.fd = listener_open(p->address, port,
					       f->cert ? LISTENER_TLS : LISTENER_PLAIN, err);
	if (r >= 0 && f->port_file)
		r = p->port_file = open_port_file(f->port_file, err);
	if (p->secret)
		p->secret[strcspn(p->secret, "\r\n")] = '\0';
	p->plan.cert = p->cert;
	p->plan.key = p->key;
	p->plan.connections = listener_room();
	p->plan.per_address = f->per_address;
	p->plan.request_s = f->request_s;
	return r < 0 ? r : 0;
}

/* Who is told of alerts, as far as that is known before the server is confined. */
static int ready_carriers(struct parts *p, struct err *err)
{
	int64_t window_us = p->flags.window_s * 1000000LL;
	p->server.alert_window_us = window_us;
	p->webhook_plan = (struct webhook_plan){ p->flags.webhook, p->secret, window_us };
	p->syslog_plan = (struct syslog_plan){ p->flags.syslog, window_us };
	int r = p->flags.webhook ? webhook_check(&p->webhook_plan, err) : 0;
	return r == 0 && p->flags.syslog ? syslog_check(&p->syslog_plan, err) : r;
}

static int make_server(struct parts *p, char admin[static KEY_TEXT_SIZE], struct err *err)
{
	struct server *s = &p->server;
	s->mask = p->flags.mask;
	int r = store_open(p->flags.db, &s->store, err);
	if (r == 0)
		r = (int)store_write(s->store, first_key, admin, err);
	if (r < 0)
		return r;
	s->evaluator = evaluator_new();
	s->live = live_new(s->store);
	s->events = events_new(s->store);
	s->rates = rates_new(p->flags.key_rate);
	s->metrics = metrics_new();
	return s->evaluator && s->live && s->events && s->rates && s->metrics
		       ? 0
		       : err_set(err, ENOMEM, "out of memory");
}

static int start(struct parts *p, struct err *err)
{
	struct server *s = &p->server;
	if (p->flags.webhook && !(p->webhook = webhook_new(&p->webhook_plan, s->store, s->metrics)))
		return err_set(err, ENOMEM, "no thread for the webhook");
	if (p->flags.syslog && !(p->syslog = syslog_new(&p->syslog_plan, s->store, s->metrics)))
		return err_set(err, ENOMEM, "no thread for syslog");
	if (!(p->upkeep = upkeep_new(p->flags.keep_days, UPKEEP_ROUND_MS, s->store, s->metrics)))
		return err_set(err, ENOMEM, "no thread for removing what is old");
	p->plan.server = s;
	int r = http_start(&p->plan, &p->http, err);
	if (r == 0 && p->port_file >= 0 && dprintf(p->port_file, "%u\n", http_port(p->http)) < 0)
		r = err_sys(err, errno, "%s", p->flags.port_file);
	return r;
}

static void finish(struct parts *p)
{
	struct server *s = &p->server;
	webhook_stop(p->webhook);
	syslog_stop(p->syslog);
	upkeep_stop(p->upkeep);
	live_stop(s->live); /* so that http_stop() finds nothing set aside */
	events_stop(s->events);
	http_stop(p->http);
	events_free(s->events);
	live_free(s->live);
	store_close(s->store);
	evaluator_free(s->evaluator);
	rates_free(s->rates);
	metrics_free(s->metrics);
	free(p->cert);
	free(p->key);
	free(p->secret);
	scope_close(&p->port_file);
}

static void greet(const struct parts *p, const char *admin)
{
	if (*admin)
		printf("The first admin key, shown this once:\n%s\n", admin);
	if (!p->landlock)
		fputs("vsandbox: serve: this kernel has no Landlock, so the server's user's files "
		      "are within its reach, continuing\n",
		      stderr);
	printf("Listening on %s://%s port %u\n", p->cert ? "https" : "http", p->address,
	       http_port(p->http));
	fflush(stdout);
}

static int serve(struct parts *p, const sigset_t *ends, struct err *err)
{
	char admin[KEY_TEXT_SIZE] = "";
	bool calls = p->flags.webhook || p->flags.syslog;
	int signum;
	int r = ready_files(p, err);
	if (r == 0)
		r = ready_carriers(p, err);
	if (r == 0)
		r = confine_server(p->flags.db, calls ? CONFINE_CALLS_OUT : CONFINE_STAYS,
				   &p->landlock, err);
	if (r == 0)
		r = make_server(p, admin, err);
	if (r == 0)
		r = start(p, err);
	if (r < 0)
		return r;
	greet(p, admin);
	sigwait(ends, &signum);
	return 0;
}

int main(int argc, char **argv)
{
	struct parts parts = { .plan.fd = -1, .port_file = -1 };
	struct err err = { "" };
	sigset_t set;
	if (read_flags(argc, argv, &parts.flags) < 0) {
		fputs("usage: vsandbox serve --db URL [--listen ADDRESS:PORT] [--tls-cert FILE "
		      "--tls-key FILE]\n",
		      stderr);
		return EXIT_SETUP;
	}
	if (!parts.flags.cert != !parts.flags.key) {
		err_set(&err, EINVAL, "--tls-cert and --tls-key go together");
		return fail(&err);
	}
	/* Many threads wait, few work: memory for a heap each would be kept for nothing. */
	mallopt(M_ARENA_MAX, HEAPS);
	/* Threads inherit the mask: only main takes these. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int r = serve(&parts, &set, &err);
	finish(&parts);
	return r < 0 ? fail(&err) : 0;
}
