#include "sandbox/reveal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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

static int look_through(const struct policy *p, int dir_fd, struct names *n)
{
	cleanup_dir DIR *dir = fdopendir(dir_fd);
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
			int fd = openat(dirfd(dir), e->d_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			n->old_len += (size_t)a;
			n->new_len += (size_t)b;
			/* what cannot be looked into cannot be vouched for */
			r = fd < 0 ? -EACCES : look_through(p, fd, n);
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
	int fd = openat(from->parent_fd, from->leaf,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -EACCES : look_through(w->watch->policy, fd, &n);
}

int reveal_check(struct worker *w)
{
	int r = check_one(w, &w->place[0], &w->place[1]);
	return r == 0 ? check_one(w, &w->place[1], &w->place[0]) : r;
}
