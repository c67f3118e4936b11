#include "launcher/oci/hook.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "launcher/jsonfile.h"

enum { CONFIG_MAX = 16 << 20, ANSWER_SECONDS = 5 };

int oci_hook_precreate(const struct oci_patch *p, struct err *err)
{
	struct json_object *config = jsonfile_read(STDIN_FILENO, "standard input", CONFIG_MAX, err);
	if (!config)
		return -EBADMSG;
	int r = oci_patch_config(config, p, err);
	if (r >= 0) {
		const char *text =
			json_object_to_json_string_ext(config, JSON_C_TO_STRING_NOSLASHESCAPE);
		r = fd_write_all(STDOUT_FILENO, text, strlen(text));
		if (r < 0)
			err_sys(err, -r, "the configuration cannot be given back");
	}
	json_object_put(config);
	return r < 0 ? r : 0;
}

static int send_state(int fd, const char *stage, struct json_object *state)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "vsandboxHook", json_object_new_string(stage));
	json_object_object_add(o, "state", json_object_get(state));
	const char *text = json_object_to_json_string(o);
	int r = fd_write_all(fd, text, strlen(text));
	json_object_put(o);
	return r;
}

int oci_hook_tell(const char *stage, const char *socket_path, struct err *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char answer[8];
	if (strlen(socket_path) >= sizeof(at.sun_path))
		return err_set(err, ENAMETOOLONG, "the socket's name is too long");
	strcpy(at.sun_path, socket_path);
	struct json_object *state =
		jsonfile_read(STDIN_FILENO, "standard input", (size_t)CONFIG_MAX, err);
	if (!state)
		return -EBADMSG;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	int r = fd < 0 ||
				setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
					   sizeof(patience)) < 0 ||
				connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0
			? -errno
			: send_state(fd, stage, state);
	json_object_put(state);
	if (r == 0 && recv(fd, answer, sizeof(answer), 0) <= 0)
		r = -ETIMEDOUT;
	return r < 0 ? err_sys(err, -r, "the agent at %s has not heard", socket_path) : 0;
}
