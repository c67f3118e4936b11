#include "launcher/ours.h"

#include <stdio.h>
#include <stdlib.h>

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
