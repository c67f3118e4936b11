/*
 * What is read of a tracee: strings that end where memory ends, and names joined to their directory.
 * The tracee is this process, its memory a page with nothing behind it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/place.h"
#include "sandbox/tracee.h"

enum { PAGE = 4096 };

static char *page(void)
{
	static char *at;

	if (!at) {
		at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
		if (at == MAP_FAILED || munmap(at + PAGE, PAGE) < 0)
			abort();
	}
	return at;
}

static void check_string(const char *bytes, size_t len)
{
	char out[300];
	char *at = page() + PAGE - len;

	memcpy(at, bytes, len);
	ssize_t n = tracee_read_string(getpid(), (uintptr_t)at, out, sizeof(out));
	const char *nul = memchr(bytes, '\0', len);
	size_t want = nul ? (size_t)(nul - bytes) : len;

	if (nul && want < sizeof(out)) {
		if (n != (ssize_t)want || memcmp(out, bytes, want + 1) != 0)
			abort();
	} else if (len >= sizeof(out)) {
		if (n != -ENAMETOOLONG)
			abort();
	} else if (n != -EFAULT) {
		abort(); /* memory ended before the string did: never a shorter string */
	}
}

static void check_join(const char *path)
{
	char out[200];

	if (!place_join("/base/dir", path, out, sizeof(out)))
		return;
	size_t len = strlen(out);
	if (len == 0 || len >= sizeof(out) || out[0] != '/' || (len > 1 && out[len - 1] == '/'))
		abort();
	for (const char *part = out; *part; part += strcspn(part, "/")) {
		part++;
		size_t n = strcspn(part, "/");
		if ((n == 0 && len > 1) || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[PAGE];

	if (size >= sizeof(path))
		return 0;
	if (size > 0)
		check_string((const char *)data, size);
	memcpy(path, data, size);
	path[size] = '\0';
	check_join(path);
	return 0;
}
