/* Any bytes may lie in the segment: unpacking and printing them stays inside. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[EVENT_JSON_MAX];
	static unsigned char packed[EVENT_PACKED_MAX];
	char hash[HASH_HEX];
	struct event e, again;
	struct buf b;

	if (event_unpack(data, size, &e) < 0)
		return 0;
	buf_init(&b, line, sizeof(line));
	if (event_json(&e, "session", "", &b, hash) < 0)
		abort();
	if (event_unpack(packed, event_pack(&e, packed, sizeof(packed)), &again) < 0)
		abort();
	return 0;
}
