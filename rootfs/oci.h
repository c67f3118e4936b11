/*
 * What an image is made of, as its JSON says: OCI index, manifest and config, and the
 * manifest.json of `docker save`. Foreign bytes: pure, bounded, every text in, one struct out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	OCI_JSON_MAX = 4 << 20, /* what registries accept as a manifest */
	OCI_DIGEST_SIZE = 72,   /* "sha256:", 64 hexadecimal digits, NUL */
	OCI_LAYERS_MAX = 128,
	OCI_MANIFESTS_MAX = 128,
	OCI_REF_SIZE = 256,
	OCI_WORDS_MAX = 4096,
};

struct oci_descriptor {
	char digest[OCI_DIGEST_SIZE];
	uint64_t size;
};

/* One row of an index. */
struct oci_reference {
	struct oci_descriptor descriptor;
	bool is_index;
	char ref[OCI_REF_SIZE]; /* org.opencontainers.image.ref.name; "" none */
	char os[32], architecture[32];
};
struct oci_index {
	struct oci_reference items[OCI_MANIFESTS_MAX];
	unsigned count;
};

struct oci_manifest {
	struct oci_descriptor config, layers[OCI_LAYERS_MAX];
	unsigned layer_count;
	void *json; /* struct json_object: the whole of it, for annotations; owned */
};

/* What an image wants run, and what its layers must unpack to. */
struct oci_config {
	char **env, **entrypoint, **cmd; /* owned, NULL-terminated; NULL none */
	char *working_dir, *user;        /* owned; NULL none */
	char diff_ids[OCI_LAYERS_MAX][OCI_DIGEST_SIZE];
	unsigned diff_id_count;
};

/* The first image of a `docker save` archive: names inside it. */
struct oci_docker {
	char *config;                 /* owned */
	char *layers[OCI_LAYERS_MAX]; /* owned */
	unsigned layer_count;
};

/* "sha256:" and 64 lower-case digits, nothing else: it becomes a file name. */
bool oci_digest_valid(const char *digest);

/* Each 0, or -EBADMSG with what is wrong in @err. On failure @ret owns nothing. */
int oci_index_parse(const char *text, size_t len, struct oci_index *ret, struct err *err);
int oci_manifest_parse(const char *text, size_t len, struct oci_manifest *ret, struct err *err);
int oci_config_parse(const char *text, size_t len, struct oci_config *ret, struct err *err);
/* @tag: "name:tag" of the image wanted; NULL the only one. */
int oci_docker_parse(const char *text, size_t len, const char *tag, struct oci_docker *ret,
		     struct err *err);
/* An annotation of the manifest; NULL none. Valid as long as @m. */
const char *oci_annotation(const struct oci_manifest *m, const char *key);

/*
 * The row that @ref names; with NULL the only one, or of several that differ in platform
 * the one for this machine. NULL, with the choices in @err.
 */
const struct oci_reference *oci_index_choose(const struct oci_index *index, const char *ref,
					     struct err *err);

void oci_manifest_finish(struct oci_manifest *m);
void oci_config_finish(struct oci_config *c);
void oci_docker_finish(struct oci_docker *d);
