#include "sandbox/rollback.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/revive.h"
#include "sandbox/watch.h"

enum { PATIENCE_MS = 1000, TRIES = 10, LINE_SIZE = 64 * 1024 };

static const char steps_name[] = "rollback.jsonl";

/* Steps as lines, written out when the buffer fills. */
struct steps {
	int fd; /* owned */
	int error;
	struct buf buf;
	char storage[2 * LINE_SIZE];
};

static void flush(struct steps *s)
{
	if (s->error == 0)
		s->error = fd_write_all(s->fd, s->buf.data, s->buf.len);
	buf_init(&s->buf, s->storage, sizeof(s->storage));
}

static void add_step(const struct undo_step *step, void *arg)
{
	struct steps *s = arg;
	const struct journal_record *r = step->view->record;
	if (s->buf.size - s->buf.len < LINE_SIZE)
		flush(s);
	buf_printf(&s->buf, "{\"seq\":%llu,\"op\":", (unsigned long long)r->seq);
	const char *op = action_op_name((enum action_op)r->op);
	buf_json(&s->buf, op, strlen(op));
	buf_puts(&s->buf, ",\"path\":");
	buf_json(&s->buf, step->view->path, strlen(step->view->path));
	if (step->view->path2 && r->undo == UNDO_RENAME) {
		buf_puts(&s->buf, ",\"path2\":");
		buf_json(&s->buf, step->view->path2, strlen(step->view->path2));
	}
	buf_printf(&s->buf, ",\"outcome\":\"%s\",\"why\":", undo_outcome_name(step->outcome));
	buf_json(&s->buf, step->why, strlen(step->why));
	buf_puts(&s->buf, "}\n");
}

static int run(int session_dirfd, int root_fd, const struct undo_layers *layers,
	       struct journal *journal, const struct rollback_request *request,
	       struct undo_result *ret, struct err *err)
{
	cleanup_free struct steps *s = calloc(1, sizeof(*s));
	if (!s)
		return err_sys(err, ENOMEM, "rollback");
	cleanup_fd int fd = openat(session_dirfd, steps_name,
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	s->fd = fd;
	s->error = fd < 0 ? -errno : 0; /* a full disk, perhaps: the more a reason to go on */
	buf_init(&s->buf, s->storage, sizeof(s->storage));
	const struct undo_request undo = {
		.last = request->last, .dry_run = request->dry_run, .step = add_step, .arg = s
	};
	int r = undo_run(session_dirfd, root_fd, layers, journal, &undo, ret, err);
	flush(s);
	ret->untold = s->error < 0;
	return r;
}

/*
 * A call that was received just as the freeze began keeps its task from stopping, and cannot be
 * answered while frozen: then another try, a moment later.
 */
static int freeze_patiently(struct watch *watch, enum freeze_reason reason, struct err *err)
{
	for (unsigned i = 0;; i++) {
		int r = freeze_add(&watch->freeze, reason, PATIENCE_MS, err);
		if (r != -ETIMEDOUT || i == TRIES)
			return r;
		freeze_drop(&watch->freeze, reason);
		usleep(1000);
	}
}

int rollback_live(struct watch *watch, const struct rollback_request *request,
		  struct undo_result *ret, struct err *err)
{
	int r = freeze_patiently(watch, FREEZE_UNDO, err);
	if (r == 0)
		r = run(watch->plan->box->session_dirfd, watch->env.root_fd,
			&watch->capture->layers, watch->capture->journal, request, ret, err);
	watch_forget_dirs(watch);
	freeze_drop(&watch->freeze, FREEZE_UNDO);
	return r;
}

void rollback_on_verdict(struct watch *watch)
{
	const struct rollback_request request = { .last = watch->policy->rollback_limit };
	struct undo_result result = { 0 };
	struct err err = { "" };
	char text[512];
	struct buf b;
	uint64_t asked;
	(void)!read(watch->undo_fd, &asked, sizeof(asked)); /* only to empty it */
	int r = freeze_patiently(watch, FREEZE_PERSON, &err);
	__atomic_store_n(&watch->undo_due, false, __ATOMIC_RELEASE);
	if (r == 0)
		r = run(watch->plan->box->session_dirfd, watch->env.root_fd,
			&watch->capture->layers, watch->capture->journal, &request, &result, &err);
	watch_forget_dirs(watch);
	buf_init(&b, text, sizeof(text));
	rollback_json(&result, &b);
	if (r < 0)
		watch_notice(watch, "the rollback that a verdict asked for failed: %s", err.text);
	else
		watch_notice(watch, "rolled back: %s", text);
	packet_send(watch->plan->gateway_fd, MONITOR_ROLLED_BACK, r, 0, r < 0 ? err.text : text,
		    PACKET_WAIT);
}

/* What the child of revive is told, and tells. Shared memory. */
struct ended {
	int session_dirfd;
	struct journal_options options;
	struct rollback_request request;
	struct undo_result result;
};

static int undo_ended(int root_fd, const struct undo_layers *layers, void *arg, struct err *err)
{
	struct ended *e = arg;
	struct journal *journal = NULL;
	int r = e->request.dry_run ? 0 : journal_open(e->session_dirfd, &e->options, &journal, err);
	if (r == 0)
		r = run(e->session_dirfd, root_fd, layers, journal, &e->request, &e->result, err);
	journal_close(journal);
	return r;
}

int rollback_ended(int session_dirfd, const char *session_path,
		   const struct journal_options *options, const struct rollback_request *request,
		   struct undo_result *ret, struct err *err)
{
	struct ended *e =
		mmap(NULL, sizeof(*e), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e == MAP_FAILED)
		return err_sys(err, ENOMEM, "rollback");
	*e = (struct ended){ .session_dirfd = session_dirfd,
			     .options = *options,
			     .request = *request };
	const struct revive_request revive_request = { .session_dirfd = session_dirfd,
						       .session_path = session_path };
	int r = revive(&revive_request, undo_ended, e, err);
	*ret = e->result;
	munmap(e, sizeof(*e));
	return r;
}

int rollback_real(int session_dirfd, const struct journal_options *options,
		  const struct rollback_request *request, struct undo_result *ret, struct err *err)
{
	struct undo_layers layers;
	struct journal *journal = NULL;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, errno, "rollback: cannot open /");
	int r = undo_layers_real(proc, &layers, err);
	if (r == 0 && !request->dry_run)
		r = journal_open(session_dirfd, options, &journal, err);
	if (r == 0)
		r = run(session_dirfd, root, &layers, journal, request, ret, err);
	journal_close(journal);
	undo_layers_close(&layers);
	return r;
}

void rollback_json(const struct undo_result *result, struct buf *b)
{
	buf_puts(b, "{");
	for (unsigned i = 0; i < UNDO_OUTCOME_COUNT; i++)
		buf_printf(b, "\"%s\":%llu,", undo_outcome_name((enum undo_outcome)i),
			   (unsigned long long)result->outcomes[i]);
	buf_printf(b, "\"oldest_seq\":%llu,\"newest_seq\":%llu,\"continued\":%s,\"untold\":%s}",
		   (unsigned long long)result->oldest_seq, (unsigned long long)result->newest_seq,
		   result->continued ? "true" : "false", result->untold ? "true" : "false");
}

static uint64_t number(struct json_object *o, const char *name)
{
	struct json_object *value;
	return json_object_object_get_ex(o, name, &value) ? json_object_get_uint64(value) : 0;
}

int rollback_parse(const char *json, struct undo_result *ret)
{
	struct json_object *o = json_tokener_parse(json), *value;
	if (!o || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EBADMSG;
	}
	*ret = (struct undo_result){ .oldest_seq = number(o, "oldest_seq"),
				     .newest_seq = number(o, "newest_seq") };
	for (unsigned i = 0; i < UNDO_OUTCOME_COUNT; i++)
		ret->outcomes[i] = number(o, undo_outcome_name((enum undo_outcome)i));
	ret->continued =
		json_object_object_get_ex(o, "continued", &value) && json_object_get_boolean(value);
	ret->untold =
		json_object_object_get_ex(o, "untold", &value) && json_object_get_boolean(value);
	json_object_put(o);
	return 0;
}
