/* The JSON of images: index, manifest, config, manifest.json; and the names of tar entries. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rootfs/oci.h"
#include "rootfs/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A clean name stays what it is when it is cleaned again, and never leaves its root. */
static void check_name(const char *text)
{
	static const struct unpack_limits limits = { .path_len = 4000, .depth = 100 };
	char once[4096], twice[4096];
	enum unpack_name name;
	struct err err;
	if (unpack_name_clean(text, &limits, once, sizeof(once), &err) < 0)
		return;
	if (once[0] == '/' || strstr(once, "/../") || strncmp(once, "../", 3) == 0 ||
	    unpack_name_clean(once, &limits, twice, sizeof(twice), &err) < 0 ||
	    strcmp(once, twice) != 0)
		abort();
	for (int kind = UNPACK_IMAGE; kind <= UNPACK_UPPER; kind++) {
		memcpy(twice, once, sizeof(once));
		name = UNPACK_NAME_PLAIN;
		if (unpack_name_real((enum unpack_kind)kind, twice, &name, &err) < 0)
			continue;
		const char *slash = strrchr(twice, '/');
		const char *leaf = slash ? slash + 1 : twice;
		if (strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0 ||
		    (name == UNPACK_NAME_WHITEOUT && !*leaf))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oci_index index;
	static struct oci_manifest manifest;
	struct oci_config config;
	struct oci_docker docker;
	struct err err;
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (oci_index_parse(text, size, &index, &err) == 0) {
		const struct oci_reference *r = oci_index_choose(&index, NULL, &err);
		if (r && !oci_digest_valid(r->descriptor.digest))
			abort();
	}
	if (oci_manifest_parse(text, size, &manifest, &err) == 0) {
		oci_annotation(&manifest, "org.opencontainers.image.created");
		oci_manifest_finish(&manifest);
	}
	if (oci_config_parse(text, size, &config, &err) == 0)
		oci_config_finish(&config);
	if (oci_docker_parse(text, size, NULL, &docker, &err) == 0)
		oci_docker_finish(&docker);
	check_name(text);
	free(text);
	return 0;
}
