/* A client from its options, and its end. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/c/client.h"

enum { KEY_MAX = 255, RATE_MAX = 1000000 };

void vs_options_init(struct vs_options *o)
{
	*o = (struct vs_options){ .size = sizeof(*o),
				  .max_risk_score = -1,
				  .risk_threshold = 0.7,
				  .rollback_limit = 5,
				  .timeout_ms = 10000,
				  .approval_timeout_ms = 300000 };
}

static bool is_loopback(const char *host)
{
	unsigned char a[16];
	size_t len = strlen(host);
	char bare[INET6_ADDRSTRLEN];
	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, a) == 1)
		return a[0] == 127;
	if (len < 3 || len > sizeof(bare) || host[0] != '[')
		return false;
	snprintf(bare, sizeof(bare), "%.*s", (int)len - 2, host + 1);
	struct in6_addr six;
	return inet_pton(AF_INET6, bare, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* The key travels without TLS to this machine only. */
static int check_endpoint(const char *endpoint, struct vs_error *err)
{
	char *scheme = NULL, *host = NULL;
	CURLU *u = curl_url();
	int r = -EINVAL;
	if (u && curl_url_set(u, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		r = strcmp(scheme, "https") == 0                       ? 0
		    : strcmp(scheme, "http") == 0 && is_loopback(host) ? 0
								       : -EINVAL;
	if (r < 0)
		error_set(err, EINVAL, "\"%.150s\" is no https address, nor http of this machine",
			  endpoint);
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return r;
}

static int check_numbers(const struct vs_options *o, struct vs_error *err)
{
	if (o->size != sizeof(*o))
		return error_set(err, EINVAL, "options are of another version of the library");
	if (o->max_risk_score > 1 || !(o->risk_threshold >= 0 && o->risk_threshold <= 1) ||
	    o->max_risk_score != o->max_risk_score)
		return error_set(err, EINVAL, "a risk is from 0 to 1");
	if (o->max_actions_per_minute > RATE_MAX)
		return error_set(err, EINVAL, "max_actions_per_minute is at most %d", RATE_MAX);
	if (o->mode != VS_ALERT && o->mode != VS_PAUSE && o->mode != VS_ROLLBACK)
		return error_set(err, EINVAL, "no such mode");
	if (o->timeout_ms == 0)
		return error_set(err, EINVAL, "timeout_ms is 0");
	return 0;
}

static int check_key(const char *key, struct vs_error *err)
{
	if (!key || !*key)
		return error_set(err, EINVAL, "no api_key, and no VSANDBOX_API_KEY");
	if (strlen(key) > KEY_MAX)
		return error_set(err, EINVAL, "the API key is too long");
	for (; *key; key++)
		if (*key < '!' || *key > '~')
			return error_set(err, EINVAL, "the API key has characters that none has");
	return 0;
}

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

static int copy_list(const char *const *list, char ***ret)
{
	size_t count = 0;
	if (!list)
		return 0;
	while (list[count])
		count++;
	*ret = calloc(count + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < count; i++)
		if (!((*ret)[i] = strdup(list[i])))
			return -ENOMEM;
	return *ret ? 0 : -ENOMEM;
}

static int fill(struct vs_client *c, const struct vs_options *o, const char *endpoint,
		const char *key)
{
	c->rate_given = o->max_actions_per_minute != 0;
	c->rate = c->rate_given ? o->max_actions_per_minute : 60;
	c->max_risk_given = o->max_risk_score >= 0;
	c->max_risk = c->max_risk_given ? o->max_risk_score : 1;
	c->threshold = o->risk_threshold;
	c->mode = o->mode;
	c->rollback_limit = o->rollback_limit;
	c->timeout_ms = o->timeout_ms;
	c->approval_timeout_ms = o->approval_timeout_ms;
	c->endpoint = strdup(endpoint);
	c->api_key = strdup(key);
	c->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
	c->times = calloc(c->rate, sizeof(*c->times));
	c->done = calloc(DONE_MAX, sizeof(*c->done));
	c->line = curl_easy_init();
	if (!c->endpoint || !c->api_key || (o->ca_file && !c->ca_file) || !c->times || !c->done ||
	    !c->line)
		return -ENOMEM;
	size_t len = strlen(c->endpoint);
	while (len && c->endpoint[len - 1] == '/')
		c->endpoint[--len] = '\0';
	int r = copy_list(o->allowed_action_types, &c->types);
	if (r == 0)
		r = copy_list(o->allowed_resources, &c->allowed);
	return r == 0 ? copy_list(o->blocked_resources, &c->blocked) : r;
}

int vs_open(const struct vs_options *o, struct vs_client **ret, struct vs_error *err)
{
	int r = check_numbers(o, err);
	if (r < 0)
		return r;
	const char *endpoint = o->endpoint ? o->endpoint : getenv("VAULTAK_API_URL");
	const char *key = o->api_key ? o->api_key : getenv("VSANDBOX_API_KEY");
	endpoint = endpoint && *endpoint ? endpoint : "http://127.0.0.1:7878";
	if ((r = check_key(key, err)) < 0 || (r = check_endpoint(endpoint, err)) < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(err, EIO, "libcurl does not start");
	struct vs_client *c = calloc(1, sizeof(*c));
	if (!c) {
		curl_global_cleanup();
		return error_set(err, ENOMEM, "out of memory");
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->line_lock, NULL);
	if (fill(c, o, endpoint, key) < 0) {
		vs_close(c);
		return error_set(err, ENOMEM, "out of memory");
	}
	*ret = c;
	return 0;
}

void vs_close(struct vs_client *c)
{
	if (!c)
		return;
	if (c->done)
		done_free_all(c);
	free(c->done);
	free(c->times);
	free_list(c->types);
	free_list(c->allowed);
	free_list(c->blocked);
	free(c->agent);
	free(c->session);
	free(c->endpoint);
	if (c->api_key)
		explicit_bzero(c->api_key, strlen(c->api_key));
	free(c->api_key);
	free(c->ca_file);
	curl_easy_cleanup(c->line);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->line_lock);
	free(c);
	curl_global_cleanup();
}
