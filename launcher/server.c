#include "launcher/server.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/state.h"

enum { FILE_MAX = 16384 };
static const char file_name[] = "server.json";

static bool is_loopback(const char *host)
{
	static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);
		if (!strncmp(host, names[i], len) && strchr(":/", host[len]))
			return true; /* the end of the text as well */
	}
	return false;
}

int server_set_url(struct server *s, const char *url, struct err *err)
{
	size_t len = strlen(url);
	bool https = !strncmp(url, "https://", 8), http = !strncmp(url, "http://", 7);
	while (len && url[len - 1] == '/')
		len--;
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p == 127 || strchr("@?#\"\\", *p))
			return err_set(err, EINVAL, "the URL holds a character that none has");
	if ((!https && !http) || len <= (https ? 8u : 7u) || len >= sizeof(s->url))
		return err_set(err, EINVAL, "'%.80s' is no URL of a server (https://HOST[:PORT])",
			       url);
	if (http && !is_loopback(url + 7))
		return err_set(err, EINVAL,
			       "%.80s: the key would cross the network in the clear; use https",
			       url);
	memcpy(s->url, url, len);
	s->url[len] = '\0';
	return 0;
}

int server_set_key(struct server *s, const char *key, struct err *err)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strlen(key);
	if (strncmp(key, "vtk_", 4) || len < 12 || len >= sizeof(s->key) ||
	    strspn(key, letters) != len)
		return err_set(err, EINVAL,
			       "that is no API key of a control plane, which begins with vtk_");
	memcpy(s->key, key, len + 1);
	return 0;
}

static struct json_object *to_json(const struct server *s)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "url", json_object_new_string(s->url));
	json_object_object_add(o, "key", json_object_new_string(s->key));
	if (*s->ca)
		json_object_object_add(o, "ca", json_object_new_string(s->ca));
	return o;
}

int server_save(int state_fd, const struct server *s, struct err *err)
{
	struct json_object *o = to_json(s);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
	int r = state_write_file(state_fd, file_name, text, strlen(text), err);
	json_object_put(o);
	return r;
}

int server_pass(const struct server *s, struct err *err)
{
	cleanup_fd int fd = memfd_create("server", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot pass the server on");
	struct json_object *o = to_json(s);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	ssize_t len = (ssize_t)strlen(text);
	bool whole = write(fd, text, (size_t)len) == len && lseek(fd, 0, SEEK_SET) == 0;
	json_object_put(o);
	return whole ? take_fd(&fd) : err_sys(err, EIO, "cannot pass the server on");
}

int server_remove(int state_fd, struct err *err)
{
	if (unlinkat(state_fd, file_name, 0) < 0)
		return err_sys(err, errno, "cannot remove %s", file_name);
	return 0;
}

int server_read(int fd, struct server *ret, struct err *err)
{
	char text[FILE_MAX];
	*ret = (struct server){ "" };
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return err_sys(err, errno, "%s", file_name);
	text[n] = '\0';
	struct json_object *o = json_tokener_parse(text);
	const char *ca = event_text(o, "ca");
	int r = json_object_is_type(o, json_type_object) && strlen(ca) < sizeof(ret->ca)
			? 0
			: err_set(err, EINVAL, "%s is damaged: vsandbox login writes a new one",
				  file_name);
	if (r == 0)
		r = server_set_url(ret, event_text(o, "url"), err);
	if (r == 0)
		r = server_set_key(ret, event_text(o, "key"), err);
	if (r == 0)
		snprintf(ret->ca, sizeof(ret->ca), "%s", ca);
	json_object_put(o);
	explicit_bzero(text, sizeof(text));
	return r;
}

static int open_file(int state_fd, struct err *err)
{
	cleanup_fd int fd = openat(state_fd, file_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return err_sys(err, errno, "%s", file_name);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", file_name);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, EPERM,
			       "%s in the state directory is not yours alone (chmod 600): nothing "
			       "is reported",
			       file_name);
	return take_fd(&fd);
}

/* What others forked from us, and /proc/PID/environ, would still show is overwritten in place. */
static void forget(const char *variable)
{
	char *value = getenv(variable);
	if (value)
		explicit_bzero(value, strlen(value));
	unsetenv(variable);
}

int server_open(int state_fd, struct err *err)
{
	struct server s = { "" };
	const char *url = getenv("VSANDBOX_API_URL"), *key = getenv("VSANDBOX_API_KEY");
	if (!key && !url)
		return open_file(state_fd, err);
	int r = 0;
	if (!key) /* the file's key is for the file's server */
		return err_set(err, EINVAL, "VSANDBOX_API_URL is set, but no VSANDBOX_API_KEY");
	if (url) {
		r = server_set_url(&s, url, err);
	} else {
		cleanup_fd int fd = open_file(state_fd, err);
		r = fd < 0 ? fd : server_read(fd, &s, err);
	}
	if (r == 0)
		r = server_set_key(&s, key, err);
	forget("VSANDBOX_API_KEY");
	r = r < 0 ? r : server_pass(&s, err);
	explicit_bzero(&s, sizeof(s));
	return r == -ENOENT ? -EINVAL : r; /* a key that leads nowhere is told */
}
