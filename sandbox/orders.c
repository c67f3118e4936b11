#include "sandbox/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/network.h"
#include "sandbox/reads.h"
#include "sandbox/watch.h"

enum { ORDERS_MAX = 1 << 20 };

static const char file_name[] = "orders.json";
/* What a log shows as the file that a decision comes from. */
static const char source[] = "control plane";

static int read_text(int dirfd, char **ret, size_t *ret_len, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, file_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", file_name);
	cleanup_free char *text = malloc(ORDERS_MAX);
	if (!text)
		return err_sys(err, ENOMEM, "%s", file_name);
	ssize_t len = fd_read_all(fd, text, ORDERS_MAX);
	if (len < 0)
		return err_sys(err, (int)-len, "%s", file_name);
	if (len == ORDERS_MAX)
		return err_set(err, EFBIG, "%s: larger than 1 MiB", file_name);
	*ret = take_ptr(text);
	*ret_len = (size_t)len;
	return 0;
}

int orders_take(struct watch *watch, struct err *err)
{
	/* No directory is searched and nothing expands: names in here mean what they mean at the server. */
	const struct policy_env env = { .dirs = (const char *const[]){ NULL }, .neutral = true };
	cleanup_free char *text = NULL;
	struct policy *fresh = NULL, *old;
	size_t len = 0;
	int r = read_text(watch->plan->box->session_dirfd, &text, &len, err);
	if (r == 0)
		r = policy_parse(text, len, source, &env, &fresh, err);
	if (r < 0)
		return r;
	policy_stand_beside(fresh, watch->policy);
	pthread_mutex_lock(&watch->log_lock);
	old = watch->orders.policy;
	watch->orders.policy = fresh;
	pthread_mutex_unlock(&watch->log_lock);
	policy_free(old);
	if (watch->network)
		network_narrowed(watch->network);
	watch_notice(watch, "from here on what the control plane asks for counts as well");
	return 0;
}

void orders_json(const struct watch *watch, struct buf *reply)
{
	const struct policy *p = watch->orders.policy; /* only this thread changes it */
	struct err why;
	const char *comma = "";
	buf_puts(reply, "{\"unenforced\":[");
	if (!watch->plan->box->read_events && (p->blocked.count || reads_check(p, &why) < 0)) {
		buf_puts(reply, "\"reading files, which this session does not show "
				"(--no-read-events)\"");
		comma = ",";
	}
	if (watch->network && !network_shows(watch->network, p))
		buf_printf(reply,
			   "%s\"requests and statements, which connections of this session do not "
			   "show\"",
			   comma);
	buf_puts(reply, "]}");
}

void orders_judge(const struct watch *watch, const struct action *a, char name[static ORDERS_NAME],
		  struct decision *ret)
{
	judge(watch->policy, watch->state, watch->history, a, ret);
	if (!watch->orders.policy)
		return;
	struct decision other;
	judge(watch->orders.policy, watch->state, watch->history, a, &other);
	if (other.verdict <= ret->verdict)
		return;
	*ret = other;
	ret->file = source;
	ret->line = 0;
	if (!ret->rule)
		return;
	snprintf(name, ORDERS_NAME, "%s", ret->rule);
	ret->rule = name;
}
