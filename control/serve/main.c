/* vsandbox-serve: the control plane. Started by `vsandbox serve`. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "control/confine.h"
#include "control/events.h"
#include "control/http.h"
#include "control/live.h"
#include "control/metrics.h"
#include "control/rates.h"
#include "control/webhook.h"
#include "scoring/mask.h"

enum { EXIT_SETUP = 125, PEM_MAX = 1 << 20, KEY_RATE = 10000, PER_ADDRESS = 4096, REQUEST_S = 30 };

struct flags {
	const char *listen, *db, *cert, *key, *port_file, *webhook, *webhook_secret;
	unsigned key_rate, per_address, request_s, mask;
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
		{ "no-mask", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	*ret = (struct flags){ .listen = "127.0.0.1:7878",
			       .key_rate = KEY_RATE,
			       .per_address = PER_ADDRESS,
			       .request_s = REQUEST_S,
			       .mask = MASK_ALL };
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

static void finish(struct server *server, struct http *http)
{
	live_stop(server->live); /* a daemon does not stop while connections are set aside */
	events_stop(server->events);
	http_stop(http);
	events_free(server->events);
	live_free(server->live);
	store_close(server->store);
	evaluator_free(server->evaluator);
	rates_free(server->rates);
	metrics_free(server->metrics);
}

int main(int argc, char **argv)
{
	struct flags flags;
	struct err err = { "" };
	struct server server = { 0 };
	struct http_plan plan = { .server = &server, .fd = -1 };
	struct http *http = NULL;
	char address[64], admin[KEY_TEXT_SIZE] = "";
	cleanup_free char *cert = NULL;
	cleanup_free char *key = NULL;
	cleanup_free char *secret = NULL;
	struct webhook *webhook = NULL;
	cleanup_fd int port_file = -1;
	uint16_t port;
	bool landlock = false;
	sigset_t set;
	int signum;

	if (read_flags(argc, argv, &flags) < 0) {
		fputs("usage: vsandbox serve --db URL [--listen ADDRESS:PORT] [--tls-cert FILE "
		      "--tls-key FILE]\n",
		      stderr);
		return EXIT_SETUP;
	}
	struct webhook_plan hook = { .url = flags.webhook };
	if (!flags.cert != !flags.key) {
		err_set(&err, EINVAL, "--tls-cert and --tls-key go together");
		return fail(&err);
	}
	/* Threads inherit the mask: only main takes these. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int r = split_address(flags.listen, address, &port, &err);
	if (r == 0 && flags.cert)
		r = read_text(flags.cert, &cert, &err);
	if (r == 0 && flags.key)
		r = read_text(flags.key, &key, &err);
	if (r == 0)
		r = plan.fd = http_listen(address, port, flags.cert ? HTTP_TLS : HTTP_PLAIN, &err);
	plan.connections = http_room();
	plan.per_address = flags.per_address;
	plan.request_s = flags.request_s;
	server.mask = flags.mask;
	if (r >= 0 && flags.port_file && (port_file = open_port_file(flags.port_file, &err)) < 0)
		r = port_file;
	if (r >= 0 && flags.webhook_secret)
		r = read_text(flags.webhook_secret, &secret, &err);
	if (r >= 0 && secret)
		secret[strcspn(secret, "\r\n")] = '\0';
	hook.secret = secret;
	if (r >= 0 && hook.url)
		r = webhook_check(&hook, &err);
	if (r >= 0)
		r = confine_server(flags.db, hook.url ? CONFINE_CALLS_OUT : CONFINE_STAYS,
				   &landlock, &err);
	if (r == 0)
		r = store_open(flags.db, &server.store, &err);
	if (r == 0)
		r = (int)store_write(server.store, first_key, admin, &err);
	if (r >= 0) {
		server.evaluator = evaluator_new();
		server.live = live_new(server.store);
		server.events = events_new(server.store);
		server.rates = rates_new(flags.key_rate);
		server.metrics = metrics_new();
		r = server.evaluator && server.live && server.events && server.rates &&
				    server.metrics
			    ? 0
			    : err_set(&err, ENOMEM, "out of memory");
	}
	if (r >= 0 && hook.url && !(webhook = webhook_new(&hook, server.store, server.metrics)))
		r = err_set(&err, ENOMEM, "no thread for the webhook");
	plan.cert = cert;
	plan.key = key;
	if (r >= 0)
		r = http_start(&plan, &http, &err);
	if (r == 0 && port_file >= 0 && dprintf(port_file, "%u\n", http_port(http)) < 0)
		r = err_sys(&err, errno, "%s", flags.port_file);
	if (r < 0) {
		webhook_stop(webhook);
		finish(&server, http);
		return fail(&err);
	}
	if (*admin)
		printf("The first admin key, shown this once:\n%s\n", admin);
	if (!landlock)
		fputs("vsandbox: serve: this kernel has no Landlock, so the server's user's files "
		      "are within its reach, continuing\n",
		      stderr);
	printf("Listening on %s://%s port %u\n", cert ? "https" : "http", address, http_port(http));
	fflush(stdout);
	sigwait(&set, &signum);
	webhook_stop(webhook);
	finish(&server, http);
	return 0;
}
