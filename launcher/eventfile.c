#include "launcher/eventfile.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/event.h"
#include "base/scope.h"

enum { DATA_SIZE = EVENT_JSON_MAX + 4096 };

/* Takes @fd over. */
static int start(int fd, struct eventfile *ret, struct err *err)
{
	cleanup_fd int owned = fd;
	ret->data = malloc(DATA_SIZE + 1);
	if (!ret->data)
		return err_set(err, ENOMEM, "out of memory");
	ret->fd = take_fd(&owned);
	return 0;
}

int eventfile_open(int session_dirfd, struct eventfile *ret, struct err *err)
{
	*ret = (struct eventfile){ .fd = -1 };
	int fd = openat(session_dirfd, "events.jsonl", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the session's log");
	return start(fd, ret, err);
}

int eventfile_open_path(const char *path, struct eventfile *ret, struct err *err)
{
	*ret = (struct eventfile){ .fd = -1 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "%s", path) : start(fd, ret, err);
}

uint64_t eventfile_left(const struct eventfile *f)
{
	struct stat st;
	off_t read_up_to = lseek(f->fd, 0, SEEK_CUR);
	if (read_up_to < 0 || fstat(f->fd, &st) < 0 || st.st_size < read_up_to)
		return 0;
	return (uint64_t)(st.st_size - read_up_to) + (f->end - f->start);
}

void eventfile_close(struct eventfile *f)
{
	scope_close(&f->fd);
	free(f->data);
	*f = (struct eventfile){ .fd = -1 };
}

/* Next complete line in @ret_line; 0 when there is none yet. */
static int next_line(struct eventfile *f, char **ret_line, size_t *ret_len)
{
	for (;;) {
		char *at = f->data + f->start;
		char *newline = memchr(at, '\n', f->end - f->start);
		if (newline) {
			*newline = 0;
			*ret_line = at;
			*ret_len = (size_t)(newline - at);
			f->start += *ret_len + 1;
			return 1;
		}
		memmove(f->data, at, f->end - f->start);
		f->end -= f->start;
		f->start = 0;
		if (f->end == DATA_SIZE) { /* longer than any event: drop what we have of it */
			f->skipping = true;
			f->end = 0;
		}
		ssize_t n = read(f->fd, f->data + f->end, DATA_SIZE - f->end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		f->end += (size_t)n;
	}
}

int eventfile_next(struct eventfile *f, struct eventfile_line *ret, struct err *err)
{
	char *text;
	size_t len;
	int r = next_line(f, &text, &len);
	if (r < 0)
		return err_sys(err, -r, "cannot read the log");
	if (r == 0)
		return 0;
	f->line++;
	if (f->skipping) {
		f->skipping = false;
		return err_set(err, EBADMSG, "events.jsonl:%llu is too long, skipped",
			       (unsigned long long)f->line);
	}
	if (memchr(text, 0, len))
		return err_set(err, EBADMSG, "events.jsonl:%llu holds a NUL byte, skipped",
			       (unsigned long long)f->line);
	struct json_object *json = json_tokener_parse(text);
	if (!json || !json_object_is_type(json, json_type_object)) {
		json_object_put(json);
		return err_set(err, EBADMSG, "events.jsonl:%llu is damaged, skipped",
			       (unsigned long long)f->line);
	}
	*ret = (struct eventfile_line){ .json = json, .text = text };
	return 1;
}

static struct json_object *member(const struct json_object *event, const char *name,
				  enum json_type type)
{
	struct json_object *o;
	if (!json_object_object_get_ex(event, name, &o) || !json_object_is_type(o, type))
		return NULL;
	return o;
}

const char *event_text(const struct json_object *event, const char *name)
{
	struct json_object *o = member(event, name, json_type_string);
	return o ? json_object_get_string(o) : "";
}

int64_t event_number(const struct json_object *event, const char *name)
{
	struct json_object *o = member(event, name, json_type_int);
	return o ? json_object_get_int64(o) : 0;
}

double event_real(const struct json_object *event, const char *name)
{
	struct json_object *o = member(event, name, json_type_double);
	return o ? json_object_get_double(o) : (double)event_number(event, name);
}

void event_copy(struct json_object *to, const char *as, const struct json_object *from,
		const char *name)
{
	struct json_object *o = json_object_object_get(from, name);
	if (o)
		json_object_object_add(to, as, json_object_get(o));
}

const char *event_what(const struct json_object *event)
{
	const char *type = event_text(event, "type");
	return *type ? type : event_text(event, "kind");
}

const char *event_subject(const struct json_object *event)
{
	const char *resource = event_text(event, "resource");
	return *resource ? resource : event_text(event, "text");
}
