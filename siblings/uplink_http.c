#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scoring/mask.h"
#include "siblings/uplink.h"

enum { CONNECT_SECONDS = 10 };

int uplink_http_init(struct uplink_http *h, const struct server *server, struct err *err)
{
	char line[SERVER_KEY_SIZE + 16];
	*h = (struct uplink_http){ .server = server, .mask = server->plain ? 0 : MASK_ALL };
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ENOMEM, "libcurl does not start");
	h->multi = curl_multi_init();
	snprintf(line, sizeof(line), "x-api-key: %s", server->key);
	h->headers = curl_slist_append(NULL, line);
	explicit_bzero(line, sizeof(line));
	if (h->headers && !curl_slist_append(h->headers, "Content-Type: application/json")) {
		curl_slist_free_all(h->headers);
		h->headers = NULL;
	}
	return h->multi && h->headers ? 0 : err_set(err, ENOMEM, "out of memory");
}

void uplink_http_finish(struct uplink_http *h)
{
	curl_slist_free_all(h->headers);
	curl_multi_cleanup(h->multi);
	curl_global_cleanup();
}

void exchange_finish(struct uplink_http *h, struct exchange *e)
{
	if (e->busy)
		curl_multi_remove_handle(h->multi, e->easy);
	curl_easy_cleanup(e->easy);
	free(e->body);
	free(e->reply);
	*e = (struct exchange){ .easy = NULL };
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
	struct exchange *e = arg;
	size_t len = size * count;
	if (e->len + len > REPLY_MAX)
		return 0;
	char *more = realloc(e->reply, e->len + len + 1);
	if (!more)
		return 0;
	e->reply = more;
	memcpy(e->reply + e->len, data, len);
	e->len += len;
	e->reply[e->len] = '\0';
	return len;
}

/* What of bodies may hold what a program was told or said. */
static int mask_one(struct json_object *body, unsigned what)
{
	static const struct {
		const char *member;
		unsigned mask;
	} rows[] = {
		{ "payload", MASK_ALL },      { "flag_reason", MASK_ALL },
		{ "resource", MASK_SECRETS }, { "command", MASK_SECRETS },
		{ "info", MASK_SECRETS },     { "request", MASK_SECRETS },
		{ "result", MASK_SECRETS },
	};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].mask & what)
			r = mask_member(body, rows[i].member, rows[i].mask & what);
	return r;
}

static int mask_body(struct json_object *body, unsigned what)
{
	if (!json_object_is_type(body, json_type_array))
		return body ? mask_one(body, what) : 0;
	int r = 0;
	for (size_t i = 0; r >= 0 && i < json_object_array_length(body); i++)
		r = mask_one(json_object_array_get_idx(body, i), what);
	return r;
}

int exchange_begin(struct uplink_http *h, struct exchange *e, const char *path,
		   struct json_object *body, long seconds)
{
	char url[SERVER_URL_SIZE + 256];
	const struct server *s = h->server;
	if (!e->easy)
		e->easy = curl_easy_init(); /* keeps its connection from one request to the next */
	else
		curl_easy_reset(e->easy);
	free(e->body);
	bool masked = mask_body(body, h->mask) >= 0;
	e->body = body && masked
			  ? strdup(json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN))
			  : NULL;
	bool whole = e->easy && (!body || e->body);
	json_object_put(body);
	e->len = 0;
	e->status = 0;
	if (!whole)
		return -ENOMEM;
	snprintf(url, sizeof(url), "%s%s", s->url, path);
	curl_easy_setopt(e->easy, CURLOPT_URL, url);
	curl_easy_setopt(e->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e->easy, CURLOPT_FOLLOWLOCATION, 0L); /* the key goes nowhere else */
	curl_easy_setopt(e->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(e->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(e->easy, CURLOPT_TIMEOUT, seconds);
	curl_easy_setopt(e->easy, CURLOPT_HTTPHEADER, h->headers);
	curl_easy_setopt(e->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e->easy, CURLOPT_WRITEDATA, e);
	curl_easy_setopt(e->easy, CURLOPT_PRIVATE, e);
	if (*s->ca)
		curl_easy_setopt(e->easy, CURLOPT_CAINFO, s->ca);
	if (e->body)
		curl_easy_setopt(e->easy, CURLOPT_POSTFIELDS, e->body);
	if (curl_multi_add_handle(h->multi, e->easy) != CURLM_OK)
		return -EIO;
	e->busy = true;
	return 0;
}

static void reap(struct uplink_http *h)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
		CURL *easy = m->easy_handle;
		CURLcode end = m->data.result;
		void *which = NULL;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &which);
		struct exchange *e = which;
		if (end == CURLE_OK)
			curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &e->status);
		curl_multi_remove_handle(h->multi, easy); /* @m is gone with it */
		e->end = end;
		e->busy = false;
		e->ended = true;
	}
}

void uplink_http_wait(struct uplink_http *h, int fd, int timeout_ms)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int running;
	curl_multi_perform(h->multi, &running);
	curl_multi_poll(h->multi, &extra, fd >= 0 ? 1 : 0, timeout_ms, NULL);
	curl_multi_perform(h->multi, &running);
	reap(h);
}

bool exchange_ended(struct exchange *e)
{
	bool ended = e->ended;
	e->ended = false;
	return ended;
}

int exchange_result(const struct exchange *e, struct err *err)
{
	if (e->status >= 200 && e->status < 300)
		return 0;
	if (e->status == 0)
		return err_set(err, EAGAIN, "the server does not answer: %s",
			       curl_easy_strerror(e->end));
	int errnum = e->status == 401 || e->status == 403 ? EACCES
		     : e->status == 404                   ? ENOENT
		     : e->status == 413 || e->status == 422 || e->status == 400 || e->status == 409
			     ? EBADMSG
			     : EAGAIN;
	return err_set(err, errnum, "the server answers %ld: %.200s", e->status,
		       e->len ? e->reply : "");
}
