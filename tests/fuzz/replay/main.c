/*
 * Runs a fuzz target over the files of a directory, without libFuzzer: what
 * `make check` does with the corpus. One TAP claim for each file; a crash ends the
 * plan early and is seen.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

int main(int argc, char **argv)
{
	struct dirent **names = NULL;
	unsigned char *data = malloc(INPUT_MAX);
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1, tests = 0;

	if (n < 0 || !data) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		free(data);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		char path[4096];
		FILE *f = NULL;

		if (names[i]->d_name[0] != '.' && snprintf(path, sizeof(path), "%s/%s", argv[1],
							   names[i]->d_name) < (int)sizeof(path))
			f = fopen(path, "rbe");
		if (f) {
			size_t len = fread(data, 1, INPUT_MAX, f);

			fclose(f);
			printf("# %s\n", names[i]->d_name);
			fflush(stdout);
			LLVMFuzzerTestOneInput(data, len);
			printf("ok %d - %s\n", ++tests, names[i]->d_name);
		}
		free(names[i]);
	}
	free(names);
	free(data);
	printf("1..%d\n", tests);
	return tests ? 0 : 1;
}
