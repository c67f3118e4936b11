#include "launcher/uplink.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/config.h"
#include "launcher/eventfile.h"
#include "launcher/sibling.h"

void uplink_state_path(const struct session *s, char path[static STATE_PATH_SIZE])
{
	snprintf(path, STATE_PATH_SIZE, "%s", s->path);
	for (unsigned up = 0; up < 2; up++)
		*strrchr(path, '/') = '\0';
}

/* Said on the command line, since a sibling has no environment to find the configuration by. */
static const char *masking(void)
{
	struct config c;
	/* one that cannot be read says nothing against it */
	return config_load(&c, NULL) == 0 && !c.mask_upload ? "plain" : "masked";
}

int uplink_start(const struct session *s, int server_fd, struct err *err)
{
	char state[STATE_PATH_SIZE];
	uplink_state_path(s, state);
	const char *args[] = { "session", masking(), state, s->id, NULL };
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
	const char *args[] = { flush ? "flush" : "check", masking(), state_path, NULL };
	int fds[] = { server_fd, -1 };
	int r = sibling_run("uplink", args, fds, on_line, &a, err);
	if (ret_left)
		*ret_left = a.left;
	return r;
}
