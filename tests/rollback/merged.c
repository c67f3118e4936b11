/* merged SESSION_DIR PATH: prints the tree at PATH as the merged view of an ended session shows it; "-": the host's. */
#include "fingerprint.h"

#include "sandbox/revive.h"

static int print(int root_fd, const struct undo_layers *layers, void *arg, struct err *err)
{
	(void)layers;
	const char *path = arg;
	int fd = openat(root_fd, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	fingerprint_tree(stdout, fd, ".");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = { "" };
	if (argc != 3)
		return 2;
	if (!strcmp(argv[1], "-")) {
		int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return print(root, NULL, argv[2], &err) < 0;
	}
	struct revive_request request = { .session_dirfd = open(argv[1], O_RDONLY | O_DIRECTORY),
					  .session_path = argv[1] };
	int r = revive(&request, print, argv[2], &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r < 0;
}
