#include "launcher/session.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/scope.h"
#include "launcher/term.h"
#include "sandbox/monitor.h"

enum { SESSION_JSON_MAX = 1 << 20, MONITOR_END_MS = 5000 };

const char *session_state_name(enum session_state state)
{
	static const char *const names[SESSION_STATE_COUNT] = {
		[SESSION_RUNNING] = "running",
		[SESSION_ENDED] = "ended",
		[SESSION_CRASHED] = "crashed",
		[SESSION_DAMAGED] = "damaged",
	};
	return state < SESSION_STATE_COUNT ? names[state] : "unknown";
}

uint64_t process_start_ticks(pid_t pid)
{
	char name[64], text[1024];
	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	cleanup_fd int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	/* The name may hold spaces and parentheses: count fields from its last one. */
	const char *at = strrchr(text, ')');
	unsigned long long ticks = 0;
	char state = 'X';
	if (!at || sscanf(at + 1,
			  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d"
			  " %*d %*d %*d %*d %llu",
			  &state, &ticks) != 2)
		return 0;
	/* A zombie does nothing any more, however long nobody reaps it. */
	return state == 'Z' || state == 'X' ? 0 : ticks;
}

bool process_alive(pid_t pid, uint64_t start_ticks)
{
	return pid > 0 && start_ticks && process_start_ticks(pid) == start_ticks;
}

static void make_id(char id[static SESSION_ID_SIZE])
{
	static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char random[6];
	time_t now = time(NULL);
	struct tm tm;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, (int)getpid(), sizeof(random));
	gmtime_r(&now, &tm);
	size_t at = strftime(id, SESSION_ID_SIZE, "%Y%m%d-", &tm);
	for (size_t i = 0; i < sizeof(random); i++)
		id[at++] = base32[random[i] % 32];
	id[at] = 0;
}

int session_create(int state_fd, const char *state_path, struct session *ret, int *ret_lock,
		   struct err *err)
{
	cleanup_fd int sessions = state_subdir(state_fd, "sessions", err);
	if (sessions < 0)
		return sessions;
	char id[SESSION_ID_SIZE];
	do
		make_id(id);
	while (mkdirat(sessions, id, 0700) < 0 && errno == EEXIST);
	cleanup_fd int dirfd =
		openat(sessions, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(err, errno, "cannot make the session directory %s", id);
	cleanup_fd int lock = openat(dirfd, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_sys(err, errno, "cannot lock the session directory %s", id);
	*ret = (struct session){ .state = SESSION_RUNNING };
	memcpy(ret->id, id, sizeof(id));
	snprintf(ret->path, sizeof(ret->path), "%.*s/sessions/%s", STATE_PATH_SIZE - 64, state_path,
		 id);
	ret->dirfd = take_fd(&dirfd);
	*ret_lock = take_fd(&lock);
	return 0;
}

static void json_process(FILE *f, const char *name, pid_t pid)
{
	if (pid)
		fprintf(f, ",\"%s\":{\"pid\":%d,\"start_ticks\":%llu}", name, pid,
			(unsigned long long)process_start_ticks(pid));
}

int session_write_start(const struct session *s, const struct session_start *start, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return err_sys(err, errno, "cannot write session.json");
	fprintf(f, "{\"schema_version\":%d", SESSION_SCHEMA_VERSION);
	json_member(f, false, "id", s->id);
	json_member(f, false, "agent", start->agent);
	json_member(f, false, "policy", start->policy);
	json_member(f, false, "policy_file", start->policy_file);
	json_member(f, false, "mode", start->mode);
	fputs(",\"argv\":[", f);
	for (char *const *arg = start->argv; *arg; arg++) {
		fputs(arg == start->argv ? "" : ",", f);
		json_text(f, *arg);
	}
	fputs("]", f);
	if (start->policy_flags)
		fprintf(f, ",\"policy_flags\":%s",
			json_object_to_json_string_ext(start->policy_flags,
						       JSON_C_TO_STRING_PLAIN));
	json_member(f, false, "cwd", start->cwd);
	json_member(f, false, "workspace", start->workspace);
	json_member(f, false, "net", start->net);
	json_member(f, false, "on_exit", start->on_exit);
	json_member(f, false, "control", start->control);
	fprintf(f, ",\"started_ns\":%llu,\"uid\":%u", (unsigned long long)start->started_ns,
		getuid());
	json_process(f, "gateway", start->gateway_pid);
	json_process(f, "monitor", start->monitor_pid);
	json_process(f, "agent_process", start->agent_pid);
	if (start->attached_pid)
		fprintf(f, ",\"attached_pid\":%d", start->attached_pid);
	if (start->container)
		json_member(f, false, "container", start->container);
	if (start->continues)
		json_member(f, false, "continues", start->continues);
	fputs(",\"degraded\":[", f);
	for (const char *at = start->degraded; at && *at;) {
		size_t n = strcspn(at, ",");
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)n, at);
		fputs(at == start->degraded ? "" : ",", f);
		json_text(f, name);
		at += n + (at[n] == ',');
	}
	fputs("]}\n", f);
	if (fclose(f) != 0)
		return err_sys(err, errno, "cannot write session.json");
	return state_write_file(s->dirfd, "session.json", text, len, err);
}

static struct json_object *read_json(int dirfd, const char *name, char *why, size_t why_size)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "%s: %s", name,
			 fd < 0 ? strerrordesc_np(errno) : "not a file");
		return NULL;
	}
	if (st.st_size > SESSION_JSON_MAX) {
		snprintf(why, why_size, "%s: too long", name);
		return NULL;
	}
	size_t size = (size_t)st.st_size;
	cleanup_free char *text = malloc(size + 1);
	ssize_t n = text ? read(fd, text, size) : -1;
	if (n < 0) {
		snprintf(why, why_size, "%s: cannot be read", name);
		return NULL;
	}
	text[n] = 0;
	enum json_tokener_error error;
	struct json_object *o = json_tokener_parse_verbose(text, &error);
	if (!o || !json_object_is_type(o, json_type_object)) {
		snprintf(why, why_size, "%s: %s", name,
			 o ? "not an object" : json_tokener_error_desc(error));
		json_object_put(o);
		return NULL;
	}
	return o;
}

const char *session_text(const struct session *s, const char *name)
{
	struct json_object *o;
	if (!s->start || !json_object_object_get_ex(s->start, name, &o) ||
	    !json_object_is_type(o, json_type_string))
		return "";
	return json_object_get_string(o);
}

int64_t session_number(const struct session *s, const char *name)
{
	struct json_object *o;
	if (!s->start || !json_object_object_get_ex(s->start, name, &o) ||
	    !json_object_is_type(o, json_type_int))
		return 0;
	return json_object_get_int64(o);
}

pid_t session_process(const struct session *s, const char *name, uint64_t *ret_start_ticks)
{
	struct json_object *o, *pid, *ticks;
	*ret_start_ticks = 0;
	if (!s->start || !json_object_object_get_ex(s->start, name, &o) ||
	    !json_object_object_get_ex(o, "pid", &pid) ||
	    !json_object_object_get_ex(o, "start_ticks", &ticks))
		return 0;
	*ret_start_ticks = json_object_get_uint64(ticks);
	return json_object_get_int(pid);
}

static bool locked(int dirfd)
{
	cleanup_fd int fd = openat(dirfd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static bool monitor_alive(const struct session *s)
{
	uint64_t ticks;
	pid_t pid = session_process(s, "monitor", &ticks);
	return process_alive(pid, ticks);
}

void session_refresh(struct session *s)
{
	char why[128];
	bool held = locked(s->dirfd);
	if (!s->start) /* the gateway made it without reading it */
		s->start = read_json(s->dirfd, "session.json", s->damage, sizeof(s->damage));
	if (!held && !s->end)
		s->end = read_json(s->dirfd, "end.json", why, sizeof(why));
	/* A gateway that was killed leaves a monitor that is just ending the tree. */
	if (held || (!s->end && monitor_alive(s)))
		s->state = SESSION_RUNNING;
	else if (!s->start)
		s->state = SESSION_DAMAGED;
	else
		s->state = s->end ? SESSION_ENDED : SESSION_CRASHED;
}

static int load(int sessions, const char *state_path, const char *id, struct session *ret)
{
	*ret = (struct session){ .dirfd = -1 };
	if (strlen(id) >= sizeof(ret->id))
		return -EINVAL;
	ret->dirfd = openat(sessions, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->dirfd < 0)
		return -errno;
	strcpy(ret->id, id);
	snprintf(ret->path, sizeof(ret->path), "%.*s/sessions/%s", STATE_PATH_SIZE - 64, state_path,
		 id);
	session_refresh(ret);
	return 0;
}

void session_close(struct session *s)
{
	scope_close(&s->dirfd);
	json_object_put(s->start);
	json_object_put(s->end);
	*s = (struct session){ .dirfd = -1 };
}

static int newest_first(const void *a, const void *b)
{
	const struct session *x = a, *y = b;
	int64_t tx = session_number(x, "started_ns"), ty = session_number(y, "started_ns");
	return tx != ty ? (tx < ty) - (tx > ty) : strcmp(y->id, x->id);
}

/* A listing keeps no descriptors: there may be more sessions than those. */
static void close_dirfd(struct session *s)
{
	scope_close(&s->dirfd);
	s->dirfd = -1;
}

int session_list(int state_fd, const char *state_path, struct session **ret, struct err *err)
{
	cleanup_fd int sessions = state_subdir(state_fd, "sessions", err);
	if (sessions < 0)
		return sessions;
	cleanup_dir DIR *dir = fdopendir(sessions);
	if (!dir)
		return err_sys(err, errno, "cannot list the sessions");
	take_fd(&sessions); /* the stream owns it */
	struct session *list = NULL;
	int count = 0, room = 0;
	for (const struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		if (count == room) {
			room = room ? room * 2 : 16;
			struct session *more = realloc(list, (size_t)room * sizeof(*list));
			if (!more) {
				session_list_free(list, count);
				return err_set(err, ENOMEM, "out of memory");
			}
			list = more;
		}
		if (load(dirfd(dir), state_path, e->d_name, &list[count]) == 0)
			close_dirfd(&list[count++]);
	}
	if (count)
		qsort(list, (size_t)count, sizeof(*list), newest_first);
	*ret = list;
	return count;
}

void session_list_free(struct session *list, int count)
{
	for (int i = 0; i < count; i++)
		session_close(&list[i]);
	free(list);
}

/* Whether @given is a beginning of @id, or of its part after the date. */
static bool abbreviates(const char *given, const char *id)
{
	const char *dash = strchr(id, '-');
	size_t len = strlen(given);
	return !strncmp(given, id, len) || (dash && !strncmp(given, dash + 1, len));
}

static int choose(const struct session *list, int count, const char *id, struct err *err)
{
	int found = -1;
	char cwd[STATE_PATH_SIZE];
	if (!id) {
		if (!count)
			return err_set(err, ENOENT,
				       "there is no session yet; start one with: "
				       "vsandbox run -- COMMAND");
		if (!getcwd(cwd, sizeof(cwd)))
			return 0;
		for (int i = 0; i < count; i++)
			if (!strcmp(session_text(&list[i], "cwd"), cwd))
				return i;
		return 0;
	}
	for (int i = 0; i < count; i++) {
		if (!strcmp(list[i].id, id))
			return i;
		if (!*id || !abbreviates(id, list[i].id))
			continue;
		if (found >= 0)
			return err_set(err, EINVAL, "session '%s' is ambiguous: %s, %s", id,
				       list[found].id, list[i].id);
		found = i;
	}
	if (found < 0)
		return err_set(err, ENOENT, "there is no session '%.64s'; vsandbox ps lists them",
			       id);
	return found;
}

int session_open(int state_fd, const char *state_path, const char *id, struct session *ret,
		 struct err *err)
{
	struct session *list = NULL;
	int count = session_list(state_fd, state_path, &list, err);
	if (count < 0)
		return count;
	int found = choose(list, count, id, err);
	if (found >= 0) {
		*ret = list[found];
		list[found] = (struct session){ .dirfd = -1 };
	}
	session_list_free(list, count);
	if (found < 0)
		return found;
	ret->dirfd = open(ret->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->dirfd < 0) {
		int errnum = errno;
		session_close(ret);
		return err_sys(err, errnum, "cannot open the session");
	}
	return 0;
}

int session_find(const char *id, struct session *ret, struct err *err)
{
	char path[STATE_PATH_SIZE];
	cleanup_fd int state = state_open(path, err);
	if (state < 0)
		return state;
	int r = session_open(state, path, id, ret, err);
	if (r == 0 && ret->state == SESSION_CRASHED)
		session_recover(ret,
				NULL); /* best effort: what is in the log already still reads */
	return r;
}

int session_recover(const struct session *s, struct err *err)
{
	struct eventlog_reader *reader = NULL;
	int r = eventlog_reader_open(s->dirfd, s->id, &reader, err);
	if (r < 0)
		return r;
	r = eventlog_recover(reader, NULL, NULL);
	eventlog_reader_close(reader);
	return r < 0 ? err_sys(err, -r, "cannot recover the log of session %s", s->id) : r;
}

int session_work_lock(const struct session *s, struct err *err)
{
	cleanup_fd int fd = openat(s->dirfd, MONITOR_WORK_LOCK,
				   O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the lock of session %s", s->id);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(err, EBUSY, "another command is at work on session %s",
					 s->id)
			       : err_sys(err, errno, "cannot lock session %s", s->id);
	return take_fd(&fd);
}

int session_lock(const struct session *s, struct err *err)
{
	if (s->state == SESSION_DAMAGED)
		return err_set(err, EINVAL, "session %s is damaged: %s", s->id, s->damage);
	cleanup_fd int fd = openat(s->dirfd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open the lock of session %s", s->id);
	bool held = s->state != SESSION_RUNNING && flock(fd, LOCK_EX | LOCK_NB) == 0;
	/* the monitor of a run that has just ended takes its mounts down; until then they use the layers */
	for (unsigned waited = 0; held && monitor_alive(s); waited++) {
		held = waited < MONITOR_END_MS;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	if (!held)
		return err_set(err, EBUSY,
			       "session %s is running, or another command is at work on it; end it "
			       "first: vsandbox kill %s",
			       s->id, s->id);
	/* one that began while it ran; none begins any more */
	cleanup_fd int work = session_work_lock(s, err);
	return work < 0 ? work : take_fd(&fd);
}
