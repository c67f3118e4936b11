#include "control/webhook.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scope.h"
#include "control/ids.h"
#include "control/json.h"

enum {
	SECRET_LEAST = 16,
	POST_S = 15,
	MAC_SIZE = 32,
	SIGNATURE_SIZE = 160,
	DELIVERY_SIZE = 96,
};

struct webhook {
	struct webhook_plan plan;
	CURL *easy;
	struct outbox *outbox;
};

/* Slack reads &, < and > as its own. */
static void put_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			fputs("&amp;", f);
		else if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '>')
			fputs("&gt;", f);
		else
			fputc(*text, f);
	}
}

/* "text" is what Slack and its like show; the rest is for programs. Owned by the caller. */
static char *body_of(struct json_object *alert, enum outbox_news news)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&line, &size);
	if (!f)
		return NULL;
	fprintf(f, "[%s] ", json_member(alert, "level"));
	put_escaped(f, json_member(alert, "agent_id"));
	fputs(": ", f);
	put_escaped(f, json_member(alert, "message"));
	if (news == OUTBOX_REPEATED)
		fprintf(f, " (%s times)", json_member(alert, "count"));
	if (fclose(f) != 0)
		return NULL;
	struct json_object *o = json_object_new_object();
	json_put(o, "text", json_object_new_string(line));
	json_put(o, "event", json_object_new_string(outbox_event(news)));
	json_put(o, "alert", json_object_get(alert));
	char *text = strdup(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

/* HMAC-SHA-256 of "SECONDS.BODY": the time is signed, so that an old post cannot be sent again later. */
static int sign(const char *secret, const char *body, char ret[static SIGNATURE_SIZE])
{
	unsigned char mac[MAC_SIZE];
	cleanup_free char *text = NULL;
	int64_t now = ids_now_us() / 1000000;
	if (asprintf(&text, "%" PRId64 ".%s", now, body) < 0 ||
	    gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, strlen(secret), text, strlen(text), mac) <
		    0)
		return -ENOMEM;
	int n = snprintf(ret, SIGNATURE_SIZE, "X-Vsandbox-Signature: t=%" PRId64 ",v1=", now);
	for (unsigned i = 0; i < sizeof(mac); i++)
		n += snprintf(ret + n, SIGNATURE_SIZE - (size_t)n, "%02x", mac[i]);
	return 0;
}

static size_t drop(char *data, size_t size, size_t count, void *arg)
{
	(void)data;
	(void)arg;
	return size * count;
}

static int stops(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	(void)a, (void)b, (void)c, (void)d;
	return worker_stopping(arg);
}

static struct curl_slist *headers_of(const struct webhook *w, struct json_object *alert,
				     enum outbox_news news, const char *body)
{
	char signature[SIGNATURE_SIZE], delivery[DELIVERY_SIZE];
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
	/* the count is news of its own, to whoever drops what it had before */
	snprintf(delivery, sizeof(delivery), "X-Vsandbox-Delivery: %s%s", json_member(alert, "id"),
		 news == OUTBOX_REPEATED ? "-repeated" : "");
	struct curl_slist *more = list ? curl_slist_append(list, delivery) : NULL;
	if (more && w->plan.secret)
		more = sign(w->plan.secret, body, signature) == 0
			       ? curl_slist_append(list, signature)
			       : NULL;
	if (!more)
		curl_slist_free_all(list);
	return more ? list : NULL;
}

/* What the receiver does not want will not be wanted later; what is too much or too early may be. */
static bool is_refusal(long status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}

static enum outbox_answer answer_of(CURL *easy, CURLcode code, struct err *err)
{
	long status = 0;
	if (code != CURLE_OK) {
		err_set(err, EIO, "no answer of the webhook: %s", curl_easy_strerror(code));
		return OUTBOX_FAILED;
	}
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return OUTBOX_TAKEN;
	err_set(err, EIO, "the webhook answers %ld", status);
	return is_refusal(status) ? OUTBOX_REFUSED : OUTBOX_FAILED;
}

/* The URL is often a secret itself: no message has it. */
static enum outbox_answer post(void *arg, const struct worker *worker, struct json_object *alert,
			       enum outbox_news news, struct err *err)
{
	struct webhook *w = arg;
	cleanup_free char *body = body_of(alert, news);
	struct curl_slist *headers = body ? headers_of(w, alert, news, body) : NULL;
	if (!headers) {
		err_set(err, ENOMEM, "out of memory");
		return OUTBOX_FAILED;
	}
	curl_easy_reset(w->easy);
	curl_easy_setopt(w->easy, CURLOPT_URL, w->plan.url);
	curl_easy_setopt(w->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(w->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(w->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(w->easy, CURLOPT_TIMEOUT, (long)POST_S);
	curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(w->easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, drop);
	curl_easy_setopt(w->easy, CURLOPT_XFERINFOFUNCTION, stops);
	curl_easy_setopt(w->easy, CURLOPT_XFERINFODATA, worker);
	curl_easy_setopt(w->easy, CURLOPT_NOPROGRESS, 0L);
	enum outbox_answer answer = answer_of(w->easy, curl_easy_perform(w->easy), err);
	curl_slist_free_all(headers);
	return answer;
}

/* A name that begins as an address is a name, and may be anybody's. */
static bool is_loopback(const char *host)
{
	struct in_addr four;
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	       (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127);
}

int webhook_check(const struct webhook_plan *plan, struct err *err)
{
	char *scheme = NULL, *host = NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ENOMEM, "libcurl does not start");
	CURLU *u = curl_url();
	bool good = u && curl_url_set(u, CURLUPART_URL, plan->url, 0) == CURLUE_OK &&
		    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		    (strcmp(scheme, "https") == 0 ||
		     (strcmp(scheme, "http") == 0 && is_loopback(host)));
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	if (!good)
		return err_set(err, EINVAL, "--webhook %.200s: not https, nor http to this host",
			       plan->url);
	if (plan->secret && strlen(plan->secret) < SECRET_LEAST)
		return err_set(err, EINVAL, "the webhook's secret is shorter than %d characters",
			       SECRET_LEAST);
	return 0;
}

struct webhook *webhook_new(const struct webhook_plan *plan, struct store *store,
			    struct metrics *metrics)
{
	struct webhook *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	*w = (struct webhook){ .plan = *plan, .easy = curl_easy_init() };
	const struct outbox_plan queue = { .id = OUTBOX_WEBHOOK,
					   .delivered = METRIC_WEBHOOK_DELIVERED,
					   .failed = METRIC_WEBHOOK_FAILED,
					   .dropped = METRIC_WEBHOOK_DROPPED,
					   .window_us = plan->window_us,
					   .send = post,
					   .arg = w };
	if (w->easy)
		w->outbox = outbox_new(&queue, store, metrics);
	if (!w->outbox) {
		webhook_stop(w);
		return NULL;
	}
	return w;
}

void webhook_stop(struct webhook *w)
{
	if (!w)
		return;
	outbox_stop(w->outbox);
	curl_easy_cleanup(w->easy);
	free(w);
}
