#include "sandbox/reveal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/watch.h"

struct names {
	char old[ACTION_PATH_SIZE], new[ACTION_PATH_SIZE];
	size_t old_len, new_len;
};

static bool hidden(const struct policy *p, const char *path)
{
	struct action a = {
		.type = ACTION_FILE_READ, .op = OP_READ, .resource = path, .program = ""
	};
	struct policy_match m;
	policy_match(p, &a, &m);
	return m.blocked || !m.resource_allowed;
}

/* The directory @name in @dir_fd, whose paths are @n's. What cannot be looked into cannot be vouched for. */
static int look_through(const struct policy *p, int dir_fd, const char *name, struct names *n)
{
	cleanup_dir DIR *dir = fd_opendir(dir_fd, name, O_NOFOLLOW);
	if (!dir)
		return -EACCES;
	for (struct dirent *e; (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		size_t old_len = n->old_len, new_len = n->new_len;
		int a = snprintf(n->old + old_len, sizeof(n->old) - old_len, "/%s", e->d_name);
		int b = snprintf(n->new + new_len, sizeof(n->new) - new_len, "/%s", e->d_name);
		int r = 0;
		if ((size_t)a >= sizeof(n->old) - old_len || (size_t)b >= sizeof(n->new) - new_len)
			r = -ENAMETOOLONG;
		else if (hidden(p, n->old) && !hidden(p, n->new))
			r = -EACCES;
		else if (e->d_type == DT_DIR) {
			n->old_len += (size_t)a;
			n->new_len += (size_t)b;
			r = look_through(p, dirfd(dir), e->d_name, n);
		}
		n->old_len = old_len;
		n->new_len = new_len;
		n->old[old_len] = n->new[new_len] = '\0';
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_one(struct worker *w, const struct place *from, const struct place *to)
{
	if (!from->exists || !S_ISDIR(from->st.st_mode) || from->parent_fd < 0 ||
	    created_has(&w->watch->created, &from->st))
		return 0;
	struct names n;
	n.old_len = (size_t)snprintf(n.old, sizeof(n.old), "%s", from->path);
	n.new_len = (size_t)snprintf(n.new, sizeof(n.new), "%s", to->path);
	return look_through(w->watch->policy, from->parent_fd, from->leaf, &n);
}

int reveal_check(struct worker *w)
{
	int r = check_one(w, &w->place[0], &w->place[1]);
	return r == 0 ? check_one(w, &w->place[1], &w->place[0]) : r;
}
