#include "control/webhook.h"

#include <curl/curl.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/scope.h"
#include "control/agents.h"
#include "control/alerts.h"
#include "control/ids.h"
#include "control/json.h"

enum {
	SECRET_LEAST = 16,
	LOOK_MS = 500,
	LEASE_S = 30,
	POST_S = 15,
	WAIT_MAX_S = 300,
	REFUSALS = 5,
	DAY_S = 86400,
	MAC_SIZE = 32,
	SIGNATURE_SIZE = 160,
	/* On several servers a younger number can be committed before an older one. */
	LATE_MS = 2000,
};

struct webhook {
	struct webhook_plan plan;
	struct store *store;
	struct metrics *metrics;
	char owner[AGENT_ID_SIZE];
	CURL *easy;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	bool stopping;
};

/* ---- the queue in the store --------------------------------------------------------------------- */

struct turn {
	const char *owner;
	int64_t delivered;        /* up to this alert */
	struct json_object *list; /* owned; of none or one alert */
};

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

/* The oldest alert that was not delivered, into t->list. */
static int64_t run_next(struct db *db, void *arg, struct err *err)
{
	struct turn *t = arg;
	int64_t id = 0;
	int64_t late = db_kind(db) == DB_POSTGRES ? LATE_MS * 1000LL : 0;
	int64_t n = db_query(db, "SELECT delivered FROM webhooks WHERE id = 1", NULL, 0, take_int,
			     &t->delivered, err);
	if (n > 0)
		n = db_each(db, err, take_int, &id,
			    "SELECT id FROM alerts WHERE id > $1 AND id < $2 ORDER BY id LIMIT 1",
			    db_i(t->delivered), db_i(ids_at(ids_now_us() - late) + 4096));
	return n > 0 && id ? alert_get(db, id, t->list, err) : n;
}

/* 1: this server delivers until the lease ends. 0: another does. */
static int64_t run_claim(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	int64_t now = ids_now_us();
	return db_run(db, err,
		      "UPDATE webhooks SET owner = $1, until = $2 WHERE id = 1 AND (owner = $1 OR "
		      "until < $3)",
		      db_t(t->owner), db_i(now + LEASE_S * 1000000LL), db_i(now));
}

static int64_t run_delivered(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	return db_run(db, err,
		      "UPDATE webhooks SET delivered = $2 WHERE id = 1 AND owner = $1 AND "
		      "delivered < $2",
		      db_t(t->owner), db_i(t->delivered));
}

/* Another server need not wait for the lease's end. */
static int64_t run_release(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	return db_run(db, err, "UPDATE webhooks SET until = 0 WHERE id = 1 AND owner = $1",
		      db_t(t->owner));
}

/* Alerts from before there was a webhook are nobody's news. */
static int64_t run_first(struct db *db, void *arg, struct err *err)
{
	(void)arg;
	return db_run(db, err,
		      "INSERT INTO webhooks(id, delivered, owner, until) VALUES (1, $1, '', 0)"
		      " ON CONFLICT (id) DO NOTHING",
		      db_i(ids_at(ids_now_us())));
}

/* ---- one alert ------------------------------------------------------------------------------------ */

static const char *member(struct json_object *o, const char *name)
{
	const char *text = json_object_get_string(json_object_object_get(o, name));
	return text ? text : "";
}

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
static char *body_of(struct json_object *alert)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&line, &size);
	if (!f)
		return NULL;
	fprintf(f, "[%s] ", member(alert, "level"));
	put_escaped(f, member(alert, "agent_id"));
	fputs(": ", f);
	put_escaped(f, member(alert, "message"));
	if (fclose(f) != 0)
		return NULL;
	struct json_object *o = json_object_new_object();
	json_put(o, "text", json_object_new_string(line));
	json_put(o, "event", json_object_new_string("alert"));
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
	struct webhook *w = arg;
	return __atomic_load_n(&w->stopping, __ATOMIC_RELAXED);
}

static struct curl_slist *headers_of(const struct webhook *w, struct json_object *alert,
				     const char *body)
{
	char signature[SIGNATURE_SIZE], delivery[64];
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
	snprintf(delivery, sizeof(delivery), "X-Vsandbox-Delivery: %s", member(alert, "id"));
	struct curl_slist *more = list ? curl_slist_append(list, delivery) : NULL;
	if (more && w->plan.secret)
		more = sign(w->plan.secret, body, signature) == 0
			       ? curl_slist_append(list, signature)
			       : NULL;
	if (!more)
		curl_slist_free_all(list);
	return more ? list : NULL;
}

/* HTTP's status; 0: there was no answer, and @err says why. */
static long post(struct webhook *w, struct json_object *alert, struct err *err)
{
	long status = 0;
	cleanup_free char *body = body_of(alert);
	struct curl_slist *headers = body ? headers_of(w, alert, body) : NULL;
	err_set(err, ENOMEM, "out of memory");
	if (!headers)
		return 0;
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
	curl_easy_setopt(w->easy, CURLOPT_XFERINFODATA, w);
	curl_easy_setopt(w->easy, CURLOPT_NOPROGRESS, 0L);
	CURLcode code = curl_easy_perform(w->easy);
	if (code == CURLE_OK)
		curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
	err_set(err, EIO, "%s", curl_easy_strerror(code));
	curl_slist_free_all(headers);
	return status;
}

/* ---- the thread ----------------------------------------------------------------------------------- */

/* False: it is time to stop. */
static bool pause_ms(struct webhook *w, int64_t ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && pthread_cond_timedwait(&w->stop, &w->lock, &until) != ETIMEDOUT)
		;
	bool on = !w->stopping;
	pthread_mutex_unlock(&w->lock);
	return on;
}

/* What the receiver does not want will not be wanted later; what is too much or too early may be. */
static bool is_refusal(long status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}

/* To people, once for each alert. The URL is often a secret itself. */
static void tell(long status, const struct err *err)
{
	if (status)
		fprintf(stderr, "vsandbox: serve: the webhook answers %ld, trying again\n", status);
	else
		fprintf(stderr, "vsandbox: serve: no answer of the webhook: %s; trying again\n",
			err->text);
}

/* Until it is delivered, dropped, or time to stop. True: the next one's turn. */
static bool deliver(struct webhook *w, struct turn *t, struct json_object *alert)
{
	struct err err;
	int64_t id = json_object_get_int64(json_object_object_get(alert, "id")), wait_s = 1;
	enum metric outcome = METRIC_WEBHOOK_FAILED;
	for (unsigned refusals = 0; outcome == METRIC_WEBHOOK_FAILED;) {
		if (store_write(w->store, run_claim, t, &err) <= 0)
			return false;
		long status = post(w, alert, &err);
		refusals += is_refusal(status);
		if (status >= 200 && status < 300)
			outcome = METRIC_WEBHOOK_DELIVERED;
		else if (refusals == REFUSALS || id < ids_at(ids_now_us() - DAY_S * 1000000LL))
			outcome = METRIC_WEBHOOK_DROPPED;
		metrics_add(w->metrics, outcome, 1);
		if (outcome == METRIC_WEBHOOK_FAILED && wait_s == 1)
			tell(status, &err);
		if (outcome == METRIC_WEBHOOK_FAILED && !pause_ms(w, wait_s * 1000))
			return false;
		wait_s = wait_s * 2 < WAIT_MAX_S ? wait_s * 2 : WAIT_MAX_S;
	}
	t->delivered = id;
	return store_write(w->store, run_delivered, t, &err) >= 0;
}

static void *run(void *arg)
{
	struct webhook *w = arg;
	struct err err;
	bool first = false;
	do {
		struct turn t = { .owner = w->owner, .list = json_object_new_array() };
		if (!first)
			first = store_write(w->store, run_first, NULL, &err) >= 0;
		while (first && store_read(w->store, run_next, &t, &err) > 0 &&
		       json_object_array_length(t.list) == 1 &&
		       deliver(w, &t, json_object_array_get_idx(t.list, 0)))
			json_object_array_del_idx(t.list, 0, 1);
		json_object_put(t.list);
	} while (pause_ms(w, LOOK_MS));
	struct turn over = { .owner = w->owner };
	store_write(w->store, run_release, &over, &err);
	return NULL;
}

static bool is_loopback(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "[::1]") == 0;
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
	pthread_condattr_t attr;
	if (!w)
		return NULL;
	*w = (struct webhook){ .plan = *plan, .store = store, .metrics = metrics };
	uuid_make(w->owner);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->stop, &attr);
	pthread_condattr_destroy(&attr);
	w->easy = curl_easy_init();
	if (!w->easy || pthread_create(&w->thread, NULL, run, w) != 0) {
		curl_easy_cleanup(w->easy);
		free(w);
		return NULL;
	}
	return w;
}

void webhook_stop(struct webhook *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	__atomic_store_n(&w->stopping, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&w->stop);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	curl_easy_cleanup(w->easy);
	free(w);
}
