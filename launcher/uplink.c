#include "launcher/uplink.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "launcher/config.h"
#include "launcher/eventfile.h"
#include "launcher/sibling.h"

/* STATE of STATE/sessions/ID. */
static void state_path_of(const struct session *s, char path[static STATE_PATH_SIZE])
{
	snprintf(path, STATE_PATH_SIZE, "%s", s->path);
	for (unsigned up = 0; up < 2; up++)
		*strrchr(path, '/') = '\0';
}

/* Said on the command line, since a sibling has no environment to find the configuration by. */
static const char *masking(const struct config *c)
{
	return c->mask_upload ? "masked" : "plain";
}

/* One that cannot be read says nothing against the defaults. */
static struct config load_config(void)
{
	struct config c;
	if (config_load(&c, NULL) < 0)
		config_defaults(&c);
	return c;
}

int uplink_start(const struct session *s, int server_fd, struct err *err)
{
	char state[STATE_PATH_SIZE], budget[32];
	struct config config = load_config();
	state_path_of(s, state);
	snprintf(budget, sizeof(budget), "%" PRIu64, config.upload_bytes);
	const char *args[] = { "session", masking(&config), state, s->id, budget, NULL };
	int fds[] = { server_fd, -1 };
	return sibling_spawn("uplink", args, fds, err);
}

struct answer {
	unsigned left;
	struct err *err;
};

/* {"ok":true,"left":0} or {"ok":false,"errno":13,"error":"…"} */
static int on_line(char *text, void *arg)
{
	struct answer *a = arg;
	struct json_object *o = json_tokener_parse(text);
	int r = 0;
	a->left = (unsigned)event_number(o, "left");
	if (!json_object_get_boolean(json_object_object_get(o, "ok"))) {
		int errnum = (int)event_number(o, "errno");
		r = err_set(a->err, errnum > 0 ? errnum : EPROTO, "%s", event_text(o, "error"));
	}
	json_object_put(o);
	return r;
}

int uplink_check(const char *state_path, int server_fd, bool flush, unsigned *ret_left,
		 struct err *err)
{
	struct answer a = { 0, err };
	struct config config = load_config();
	const char *args[] = { flush ? "flush" : "check", masking(&config), state_path, NULL };
	int fds[] = { server_fd, -1 };
	int r = sibling_run("uplink", args, fds, on_line, &a, err);
	if (ret_left)
		*ret_left = a.left;
	return r;
}
