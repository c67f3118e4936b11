#include "launcher/ours.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/scope.h"
#include "launcher/log.h"
#include "launcher/state.h"

/* Where it cannot be made, the agent, who is nobody else, cannot make it either. */
static int add_config(struct fence *f, struct err *err)
{
	char path[STATE_PATH_SIZE];
	struct err why = { "" };
	cleanup_fd int dir = state_config_open(path, &why);
	if (dir < 0)
		log_detail("%s, continuing", why.text);
	int r = state_config_path(path, err);
	return r < 0 ? r : fence_add(f, path, err);
}

int ours_fence(struct fence *ret, struct err *err)
{
	char path[STATE_PATH_SIZE];
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	*ret = (struct fence){ 0 };
	cleanup_fd int state = state_open(path, err);
	int r = state < 0 ? state : fence_add(ret, path, err);
	if (r == 0)
		r = add_config(ret, err);
	if (r == 0 && state_cache_path(path) == 0)
		r = fence_add(ret, path, err);
	if (r == 0 && runtime && *runtime == '/') {
		snprintf(path, sizeof(path), "%.4000s/vsandbox", runtime);
		r = fence_add(ret, path, err);
	}
	if (r < 0)
		fence_finish(ret);
	return r;
}

static bool is_direct(const struct policy *p, const char *workspace, const char *path)
{
	char dir[PATH_MAX];
	if (p->workspace == WORKSPACE_DIRECT && path_is_within(path, workspace))
		return true;
	for (unsigned i = 0; i < p->direct.count; i++) {
		if (!pattern_as_mount(&p->direct.items[i].pattern, dir, sizeof(dir)))
			continue; /* the box refuses it */
		cleanup_free char *real = realpath(dir, NULL);
		if (real && path_is_within(path, real))
			return true;
	}
	return false;
}

int ours_keep_programs(struct fence *f, const struct policy *policy, const char *workspace,
		       struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return err_sys(err, errno, "cannot find this program");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	const char *const programs[] = { self, VSANDBOX_LIBEXEC, NULL };
	const char *const *const lists[] = { programs, state_policy_dirs() };
	int r = 0;
	for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++)
		for (const char *const *dir = lists[k]; r == 0 && *dir; dir++) {
			cleanup_free char *real = realpath(*dir, NULL);
			if (is_direct(policy, workspace, real ? real : *dir))
				r = fence_keep(f, *dir, err);
		}
	return r;
}
