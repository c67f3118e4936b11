/* One call of the server. No redirects and no proxies: the key goes to one place. */
#include <curl/curl.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sdk/c/client.h"

enum {
	TRIES = 4,
	FIRST_WAIT_MS = 100,
	ANSWER_MAX = 16 << 20,
};

struct answer {
	char *data; /* owned */
	size_t len;
};

int error_set(struct vs_error *err, int code, const char *format, ...)
{
	if (err) {
		va_list args;
		va_start(args, format);
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return -code;
}

/* Ids tell actions and questions apart; a kernel without randomness is not one that this runs on. */
void id_new(char ret[static ID_SIZE])
{
	unsigned char b[16];
	while (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		;
	size_t len = 0;
	for (unsigned i = 0; i < sizeof(b); i++)
		len += (size_t)snprintf(ret + len, ID_SIZE - len, "%02x", b[i]);
}

/* Without memory the member is missing, and the server refuses the request. */
void put(struct json_object *o, const char *name, struct json_object *value)
{
	if (!o || json_object_object_add(o, name, value) < 0)
		json_object_put(value);
}

void put_text(struct json_object *o, const char *name, const char *text)
{
	put(o, name, text ? json_object_new_string(text) : NULL);
}

static size_t take(char *data, size_t size, size_t count, void *arg)
{
	struct answer *a = arg;
	size_t len = size * count;
	if (len > ANSWER_MAX - a->len)
		return 0;
	char *more = realloc(a->data, a->len + len + 1);
	if (!more)
		return 0;
	memcpy(more + a->len, data, len);
	a->data = more;
	a->len += len;
	a->data[a->len] = '\0';
	return len;
}

static struct curl_slist *headers_of(const struct vs_client *c)
{
	char key[512];
	snprintf(key, sizeof(key), "x-api-key: %s", c->api_key);
	struct curl_slist *list = curl_slist_append(NULL, key);
	struct curl_slist *more =
		list ? curl_slist_append(list, "Content-Type: application/json") : NULL;
	if (!more)
		curl_slist_free_all(list);
	return more;
}

/* The status, or 0 without an answer. */
static long try_once(struct vs_client *c, CURL *line, const char *method, const char *url,
		     const char *body, unsigned timeout_ms, struct answer *a, struct vs_error *err)
{
	long status = 0;
	struct curl_slist *headers = headers_of(c);
	CURLcode r = CURLE_OUT_OF_MEMORY;
	if (headers) {
		curl_easy_reset(line); /* keeps its connections */
		curl_easy_setopt(line, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(line, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(line, CURLOPT_PROXY, "");
		curl_easy_setopt(line, CURLOPT_URL, url);
		curl_easy_setopt(line, CURLOPT_CUSTOMREQUEST, method);
		curl_easy_setopt(line, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(line, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
		curl_easy_setopt(line, CURLOPT_WRITEFUNCTION, take);
		curl_easy_setopt(line, CURLOPT_WRITEDATA, a);
		if (body)
			curl_easy_setopt(line, CURLOPT_POSTFIELDS, body);
		if (c->ca_file)
			curl_easy_setopt(line, CURLOPT_CAINFO, c->ca_file);
		r = curl_easy_perform(line);
	}
	if (r == CURLE_OK)
		curl_easy_getinfo(line, CURLINFO_RESPONSE_CODE, &status);
	else
		error_set(err, EHOSTUNREACH, "%s: %s", url, curl_easy_strerror(r));
	curl_slist_free_all(headers);
	return status;
}

static int understand(const char *method, const char *path, long status, const struct answer *a,
		      struct json_object **ret, struct vs_error *err)
{
	if (status < 200 || status >= 300)
		return error_set(err,
				 status == 401 || status == 403   ? EACCES
				 : status == 429 || status >= 500 ? EHOSTUNREACH
								  : EPROTO,
				 "%s %s: %ld %.150s", method, path, status, a->data ? a->data : "");
	*ret = a->data ? json_tokener_parse(a->data) : NULL;
	return *ret ? 0 : error_set(err, EPROTO, "%s %s: the answer is no JSON", method, path);
}

/* Between half of wait_ms and all of it. */
static void sleep_about(unsigned wait_ms)
{
	unsigned char dice = 0;
	if (getrandom(&dice, sizeof(dice), 0) != (ssize_t)sizeof(dice))
		dice = 0;
	int64_t ns = ((int64_t)wait_ms * 1000000 / 512) * (256 + dice);
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	nanosleep(&t, NULL);
}

static int with_retries(struct vs_client *c, CURL *line, const char *method, const char *path,
			const char *body, unsigned timeout_ms, struct json_object **ret,
			struct vs_error *err)
{
	char *url;
	if (asprintf(&url, "%s%s", c->endpoint, path) < 0)
		return error_set(err, ENOMEM, "out of memory");
	struct answer a = { 0 };
	long status = 0;
	for (unsigned i = 0, wait = FIRST_WAIT_MS; i < TRIES; i++, wait *= 2) {
		if (i)
			sleep_about(wait);
		a.len = 0;
		status = try_once(c, line, method, url, body, timeout_ms, &a, err);
		if (status != 0 && status != 429 && status < 500)
			break;
	}
	int r = status ? understand(method, path, status, &a, ret, err) : -EHOSTUNREACH;
	free(a.data);
	free(url);
	return r;
}

int request(struct vs_client *c, const char *method, const char *path, struct json_object *body,
	    unsigned extra_ms, struct json_object **ret, struct vs_error *err)
{
	bool kept = pthread_mutex_trylock(&c->line_lock) == 0;
	CURL *line = kept ? c->line : curl_easy_init();
	const char *text =
		body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : NULL;
	int r = line && (text || !body) ? with_retries(c, line, method, path, text,
						       c->timeout_ms + extra_ms, ret, err)
					: error_set(err, ENOMEM, "out of memory");
	if (kept)
		pthread_mutex_unlock(&c->line_lock);
	else
		curl_easy_cleanup(line);
	return r;
}
