/* A pattern, a newline, a text: compiled, every match equals fnmatch(3); any host is handled. */
#include <fnmatch.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policies/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool defined(const char *pattern, const char *text)
{
	for (const char *rest = text;;) {
		if (fnmatch(pattern, rest, 0) == 0)
			return true;
		const char *slash = strchr(rest, '/');
		if (pattern[0] == '/' || !slash)
			return false;
		rest = slash + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char input[80], path[64];
	struct pattern p;
	struct err err;
	if (size >= sizeof(input))
		return 0;
	memcpy(input, data, size);
	input[size] = '\0';
	char *text = strchr(input, '\n');
	if (!text)
		return 0;
	*text++ = '\0';
	/* "DIR/" and two stars also names DIR, which fnmatch does not know: checked by the unit test. */
	if (pattern_compile_path(input, &p, &err) == 0) {
		bool hit = pattern_matches(&p, text);
		if (!p.self && hit != defined(input, text))
			abort();
		pattern_as_mount(&p, path, sizeof(path));
	}
	if (pattern_compile_host(input, &p, &err) == 0)
		pattern_matches_host(&p, text, 443);
	return 0;
}
