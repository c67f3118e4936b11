#include "control/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "control/crew.h"
#include "control/events.h"
#include "control/ids.h"
#include "control/listener.h"
#include "control/live.h"
#include "control/logins.h"
#include "control/metrics.h"
#include "control/visits.h"

enum {
	BODY_MAX = 1 << 20,
	HEADERS_MAX = 16384, /* memory of a connection: its request line and headers */
	IDLE_S = 15,         /* a client that says nothing for so long is let go */
	THREADS = 4,
};

struct http {
	struct MHD_Daemon *daemon;
	struct server *server;
	struct visits *visits;
	struct crew *crew;
	uint16_t port;
	bool tls;
};

/* The dashboard is all that a browser may run or show here, and it writes texts only as texts. */
static const char content_policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
				     "img-src 'self'; connect-src 'self'; "
				     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
				     "require-trusted-types-for 'script'; trusted-types 'none'";
/* What GnuTLS takes for normal, which depends on its version, without what RFC 8996 ended. */
static const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
static const char login_cookie[] = "vsandbox_login";

/* One request, from its first line to its answer. */
struct incoming {
	struct task task; /* first: where the crew runs it, its connection set aside */
	bool ran;
	char *path; /* as it was sent, without the query; owned */
	bool begun;
	char *body;
	size_t len, size;
	bool too_large;
	int64_t first_us;         /* when it was first run; 0 not yet */
	struct json_object *memo; /* of its handler */
	struct call call;         /* while it runs, and until it is answered */
	const char *key;          /* of the connection's */
};

static const char *query(const struct call *c, const char *name)
{
	return MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* No script can read the cookie, and no other site's page makes the browser send it. */
static void set_login(struct MHD_Response *r, const char *login, int64_t seconds, bool tls)
{
	char text[256];
	snprintf(text, sizeof(text), "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
		 login_cookie, login, (long long)seconds, tls ? "; Secure" : "");
	MHD_add_response_header(r, "Set-Cookie", text);
}

static enum MHD_Result send_text(struct MHD_Connection *connection, const struct call *c,
				 const char *text, bool tls)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type",
				c->content_type ? c->content_type : "application/json");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Content-Security-Policy", content_policy);
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	if (*c->cookie && c->status == 200)
		set_login(r, c->cookie, LOGIN_HOURS * 3600LL, tls);
	if (c->forget)
		set_login(r, "", 0, tls);
	if (*c->next)
		MHD_add_response_header(r, "X-Next-Cursor", c->next);
	if (c->retry_after_s) {
		char seconds[16];
		snprintf(seconds, sizeof(seconds), "%u", c->retry_after_s);
		MHD_add_response_header(r, "Retry-After", seconds);
	}
	enum MHD_Result result = MHD_queue_response(connection, (unsigned)c->status, r);
	MHD_destroy_response(r);
	return result;
}

/* An IPv6 address stands for its /64: that is what one customer has. */
static void put_peer(struct MHD_Connection *connection, char ret[static PEER_SIZE])
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *a = info ? info->client_addr : NULL;
	ret[0] = '\0';
	if (a && a->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, ret,
			  PEER_SIZE);
	} else if (a && a->sa_family == AF_INET6) {
		struct in6_addr net = ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
		memset(net.s6_addr + 8, 0, 8);
		inet_ntop(AF_INET6, &net, ret, PEER_SIZE);
	}
}

/* The other customary place of a key: what scrapers and tools of others can be told to send. */
static const char *bearer(struct MHD_Connection *connection)
{
	static const char scheme[] = "Bearer ";
	const char *text =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
	bool is = text && strncasecmp(text, scheme, sizeof(scheme) - 1) == 0;
	return is ? text + sizeof(scheme) - 1 : NULL;
}

static void free_answer(struct call *c)
{
	free(c->text);
	json_object_put(c->reply);
	json_object_put(c->body);
}

/* What the request says, as a call. */
static void begin_call(struct http *h, struct MHD_Connection *connection, struct incoming *in)
{
	struct call *c = &in->call;
	const char *site =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Sec-Fetch-Site");
	bool again = in->first_us;
	if (!again)
		in->first_us = ids_now_us();
	*c = (struct call){ .server = h->server,
			    .again = again,
			    .query = query,
			    .connection = connection,
			    .first_us = in->first_us,
			    .memo = in->memo };
	c->login = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, login_cookie);
	c->csrf = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-csrf-token");
	c->cross_site = site && strcmp(site, "cross-site") == 0;
	put_peer(connection, c->peer);
	in->key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-api-key");
	if (!in->key)
		in->key = bearer(connection);
}

static void run_call(struct incoming *in)
{
	call_run(&in->call, in->key, in->body ? in->body : "", in->len);
	in->memo = in->call.memo;
}

/* On a thread of the crew. Mustn't touch @in once the connection is resumed. */
static void run_apart(struct task *t)
{
	struct incoming *in = (struct incoming *)t;
	run_call(in);
	in->ran = true;
	MHD_resume_connection(in->call.connection);
}

/* The whole answer of a call that has run, or its wait. */
static enum MHD_Result answer(struct http *h, struct MHD_Connection *connection,
			      struct incoming *in)
{
	struct call *c = &in->call;
	if (c->wait_us) {
		free_answer(c);
		live_wait(h->server->live, connection, c->wait_us);
		return MHD_YES;
	}
	metrics_request(h->server->metrics, c->route ? (int)(c->route - routes) : -1, c->status,
			ids_now_us() - in->first_us);
	if (c->stream && events_answer(h->server->events, connection))
		return MHD_YES;
	if (c->stream) {
		c->retry_after_s = 5;
		call_refuse(c, 503, "Too many listen already");
	}
	const char *text = c->text ? c->text
				   : json_object_to_json_string_ext(
					     c->reply, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE);
	enum MHD_Result result = send_text(connection, c, text, h->tls);
	free_answer(c);
	return result;
}

static enum MHD_Result run_request(struct http *h, struct MHD_Connection *connection,
				   const char *method, struct incoming *in)
{
	if (in->ran) { /* it comes back from the crew */
		in->ran = false;
		return answer(h, connection, in);
	}
	begin_call(h, connection, in);
	if (in->too_large) {
		call_refuse(&in->call, 413, "The body is larger than %d bytes", BODY_MAX);
		return answer(h, connection, in);
	}
	call_find(&in->call, method, in->path);
	if (call_writes(&in->call)) {
		in->task = (struct task){ .run = run_apart, .bytes = in->len };
		MHD_suspend_connection(connection);
		crew_give(h->crew, &in->task);
		return MHD_YES;
	}
	run_call(in);
	return answer(h, connection, in);
}

static void take_body(struct incoming *in, const char *data, size_t len)
{
	if (in->too_large || in->len + len > BODY_MAX) {
		in->too_large = true;
		return;
	}
	if (in->len + len > in->size) {
		size_t size = in->size ? in->size * 2 : 4096;
		while (size < in->len + len)
			size *= 2;
		char *more = realloc(in->body, size);
		if (!more) {
			in->too_large = true;
			return;
		}
		in->body = more;
		in->size = size;
	}
	memcpy(in->body + in->len, data, len);
	in->len += len;
}

/* A NUL would end a text early and make another of it; it becomes a character that no name has. */
static size_t unescape(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	size_t len = MHD_http_unescape(text);
	for (char *nul = text; (nul = memchr(nul, '\0', len - (size_t)(nul - text)));)
		*nul = '\x01';
	return len;
}

static struct visit *visit_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **state,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	const union MHD_ConnectionInfo *info;
	switch (code) {
	case MHD_CONNECTION_NOTIFY_STARTED:
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*state = info ? visit_begin(h->visits, info->connect_fd) : NULL;
		break;
	case MHD_CONNECTION_NOTIFY_CLOSED:
		visit_end(h->visits, *state);
		break;
	}
}

/* The request's state begins here: of an unescaped path nobody could say which slashes separate. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
	(void)arg;
	(void)connection;
	struct incoming *in = calloc(1, sizeof(*in));
	if (in)
		in->path = strndup(uri, strcspn(uri, "?"));
	return in;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **state)
{
	(void)url;
	(void)version;
	struct incoming *in = *state;
	if (!in || !in->path)
		return MHD_NO;
	if (!in->begun) {
		in->begun = true;
		return MHD_YES;
	}
	if (*len) {
		take_body(in, data, *len);
		*len = 0;
		return MHD_YES;
	}
	visit_served(((struct http *)arg)->visits, visit_of(connection));
	return run_request(arg, connection, method, in);
}

static void on_done(void *arg, struct MHD_Connection *connection, void **state,
		    enum MHD_RequestTerminationCode code)
{
	struct http *h = arg;
	(void)code;
	struct incoming *in = *state;
	visit_waits(h->visits, visit_of(connection));
	if (in) {
		if (in->ran) /* and nobody is there to be answered */
			free_answer(&in->call);
		free(in->path);
		free(in->body);
		json_object_put(in->memo);
	}
	free(in);
	*state = NULL;
}

static void free_http(struct http *h)
{
	if (!h)
		return;
	crew_end(h->crew);
	crew_free(h->crew);
	visits_free(h->visits);
	free(h);
}

int http_start(const struct http_plan *plan, struct http **ret, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	if (!h || !(h->visits = visits_new(plan->request_s)) || !(h->crew = crew_new())) {
		free_http(h);
		return err_set(err, ENOMEM, "http: out of memory");
	}
	h->server = plan->server;
	h->port = listener_port(plan->fd);
	h->tls = plan->cert;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)plan->cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)plan->key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities },
		{ MHD_OPTION_END, 0, NULL },
	};
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME |
			 (plan->cert ? MHD_USE_TLS : 0u);
	h->daemon = MHD_start_daemon(
		flags, h->port, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET, plan->fd,
		MHD_OPTION_NOTIFY_COMPLETED, on_done, h, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, h, MHD_OPTION_UNESCAPE_CALLBACK, unescape, h,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_CONNECTION_LIMIT,
		plan->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, plan->per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HEADERS_MAX, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, plan->cert ? tls : tls + 3,
		MHD_OPTION_END);
	if (!h->daemon) {
		int errnum = errno ? errno : EIO;
		free_http(h);
		return err_sys(err, errnum, "http: cannot start%s",
			       plan->cert ? " (are certificate and key a pair of PEM files?)" : "");
	}
	*ret = h;
	return 0;
}

uint16_t http_port(const struct http *h)
{
	return h->port;
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	crew_end(h->crew);          /* a daemon does not stop while connections are set aside */
	MHD_stop_daemon(h->daemon); /* closes the socket too */
	free_http(h);
}
