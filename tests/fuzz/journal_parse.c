/*
 * Any bytes may lie in a segment. The first byte chooses: as they are, or made to pass the checksum, so
 * that the bounds behind it are met too. What is accepted is read to its last byte.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rootfs/journal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const void *bytes, size_t len)
{
	unsigned s = 0;
	for (size_t i = 0; i < len; i++)
		s += ((const unsigned char *)bytes)[i];
	__asm__ volatile("" : : "r"(s)); /* or it would be no read */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { NONCE = 42 };
	struct journal_view v;
	if (size < 8)
		return 0;
	size_t len = size - 8;
	unsigned char *bytes =
		malloc(len + 1); /* of exactly that length: a byte too many is seen */
	if (!bytes)
		return 0;
	memcpy(bytes, data + 8, len);
	if (data[0] & 1 && len >= sizeof(struct journal_record)) {
		struct journal_record *r = (void *)bytes;
		r->magic = RECORD_MAGIC;
		if (data[0] & 2)
			r->size = (uint32_t)(len & ~(size_t)7);
		if (r->size >= sizeof(*r) && r->size <= len)
			r->check = journal_checksum(NONCE, bytes + CHECKED_FROM,
						    r->size - CHECKED_FROM);
	}
	int64_t n = journal_parse(bytes, len, NONCE, &v);
	if (n > (int64_t)len)
		abort();
	if (n > 0) {
		const char *name;
		const unsigned char *value;
		size_t at = 0, value_len;
		read_all(v.content, v.record->content_len);
		if (v.path2)
			read_all(v.path2, strlen(v.path2));
		if (v.record->path_len)
			read_all(v.path, strlen(v.path));
		while (journal_xattr(&v, &at, &name, &value, &value_len) == 1)
			read_all(value, value_len), read_all(name, strlen(name));
		journal_undoable(&v);
		journal_has_after(v.record);
	}
	free(bytes);
	return 0;
}
