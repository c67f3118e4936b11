#include "rootfs/oci.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OCI_DEPTH_MAX = 32, OCI_TEXT_MAX = 128 << 10 };

static void scope_json(struct json_object **o)
{
	json_object_put(*o);
}
#define cleanup_json __attribute__((cleanup(scope_json)))

bool oci_digest_valid(const char *digest)
{
	return strncmp(digest, "sha256:", 7) == 0 && strlen(digest) == OCI_DIGEST_SIZE - 1 &&
	       strspn(digest + 7, "0123456789abcdef") == 64;
}

/* An owned tree, or NULL with the reason. @what is the file's name for people. */
static struct json_object *parse(const char *text, size_t len, const char *what, struct err *err)
{
	struct json_tokener *t = json_tokener_new_ex(OCI_DEPTH_MAX);
	if (!t || len > OCI_JSON_MAX) {
		err_set(err, EBADMSG, "%s is longer than %d bytes", what, OCI_JSON_MAX);
		json_tokener_free(t);
		return NULL;
	}
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	struct json_object *o = json_tokener_parse_ex(t, text, (int)len);
	enum json_tokener_error error = json_tokener_get_error(t);
	size_t end = json_tokener_get_parse_end(t);
	json_tokener_free(t);
	while (end < len && strchr(" \t\r\n", text[end]) && text[end])
		end++;
	if (error != json_tokener_success || !o || end != len) {
		err_set(err, EBADMSG, "%s is no JSON: %s", what,
			error != json_tokener_success ? json_tokener_error_desc(error)
						      : "something follows it");
		json_object_put(o);
		return NULL;
	}
	return o;
}

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *value;
	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

/* A string without NUL bytes in it, at most @max long; NULL for anything else. */
static const char *plain(struct json_object *o, size_t max)
{
	if (!json_object_is_type(o, json_type_string))
		return NULL;
	const char *text = json_object_get_string(o);
	size_t len = (size_t)json_object_get_string_len(o);
	return len == strlen(text) && len <= max ? text : NULL;
}

static const char *text_of(struct json_object *o, const char *key, size_t max)
{
	return plain(member(o, key, json_type_string), max);
}

static void copy_text(char *out, size_t size, struct json_object *o, const char *key)
{
	const char *text = text_of(o, key, size - 1);
	snprintf(out, size, "%s", text ? text : "");
}

static int descriptor(struct json_object *o, struct oci_descriptor *ret)
{
	const char *digest = text_of(o, "digest", OCI_DIGEST_SIZE);
	struct json_object *size = member(o, "size", json_type_int);
	if (!digest || !oci_digest_valid(digest) || !size || json_object_get_int64(size) < 0)
		return -EBADMSG;
	*ret = (struct oci_descriptor){ .size = (uint64_t)json_object_get_int64(size) };
	memcpy(ret->digest, digest, OCI_DIGEST_SIZE);
	return 0;
}

static bool is_index_type(struct json_object *o)
{
	const char *type = text_of(o, "mediaType", 256);
	return type &&
	       (strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
		strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0);
}

int oci_index_parse(const char *text, size_t len, struct oci_index *ret, struct err *err)
{
	cleanup_json struct json_object *root = parse(text, len, "the image index", err);
	if (!root)
		return -EBADMSG;
	struct json_object *rows = member(root, "manifests", json_type_array);
	if (!rows || json_object_array_length(rows) > OCI_MANIFESTS_MAX)
		return err_set(err, EBADMSG, "the image index lists no manifests, or more than %d",
			       OCI_MANIFESTS_MAX);
	ret->count = 0;
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		struct oci_reference *r = &ret->items[ret->count];
		*r = (struct oci_reference){ .is_index = is_index_type(row) };
		if (descriptor(row, &r->descriptor) < 0)
			return err_set(err, EBADMSG,
				       "manifest %zu of the image index has no valid sha256 "
				       "digest and size",
				       i + 1);
		copy_text(r->ref, sizeof(r->ref), member(row, "annotations", json_type_object),
			  "org.opencontainers.image.ref.name");
		struct json_object *platform = member(row, "platform", json_type_object);
		copy_text(r->os, sizeof(r->os), platform, "os");
		copy_text(r->architecture, sizeof(r->architecture), platform, "architecture");
		ret->count++;
	}
	return 0;
}

int oci_manifest_parse(const char *text, size_t len, struct oci_manifest *ret, struct err *err)
{
	cleanup_json struct json_object *root = parse(text, len, "the image manifest", err);
	if (!root)
		return -EBADMSG;
	ret->layer_count = 0;
	ret->json = NULL;
	struct json_object *layers = member(root, "layers", json_type_array);
	if (descriptor(member(root, "config", json_type_object), &ret->config) < 0 || !layers)
		return err_set(err, EBADMSG, "the image manifest has no config or no layers");
	if (json_object_array_length(layers) > OCI_LAYERS_MAX)
		return err_set(err, EBADMSG, "the image manifest lists more than %d layers",
			       OCI_LAYERS_MAX);
	for (size_t i = 0; i < json_object_array_length(layers); i++) {
		if (descriptor(json_object_array_get_idx(layers, i), &ret->layers[i]) < 0)
			return err_set(err, EBADMSG,
				       "layer %zu of the image manifest has no valid sha256 digest "
				       "and size",
				       i + 1);
		ret->layer_count++;
	}
	ret->json = json_object_get(root);
	return 0;
}

const char *oci_annotation(const struct oci_manifest *m, const char *key)
{
	return text_of(member(m->json, "annotations", json_type_object), key, OCI_JSON_MAX);
}

static void free_words(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

/* A list of strings; a missing or null one is none. */
static int words_of(struct json_object *o, const char *key, char ***ret, struct err *err)
{
	struct json_object *list = NULL;
	*ret = NULL;
	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &list) || !list)
		return 0;
	if (!json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > OCI_WORDS_MAX)
		return err_set(err, EBADMSG, "%s of the image config is no list of strings", key);
	size_t count = json_object_array_length(list);
	char **words = calloc(count + 1, sizeof(*words));
	for (size_t i = 0; words && i < count; i++) {
		const char *word = plain(json_object_array_get_idx(list, i), OCI_TEXT_MAX);
		words[i] = word ? strdup(word) : NULL;
		if (!words[i]) {
			free_words(words);
			return err_set(err, EBADMSG, "%s of the image config is no list of strings",
				       key);
		}
	}
	*ret = words;
	return words ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int diff_ids_of(struct json_object *root, struct oci_config *ret, struct err *err)
{
	struct json_object *ids =
		member(member(root, "rootfs", json_type_object), "diff_ids", json_type_array);
	if (!ids || json_object_array_length(ids) > OCI_LAYERS_MAX)
		return err_set(err, EBADMSG, "the image config does not name its layers");
	for (size_t i = 0; i < json_object_array_length(ids); i++) {
		const char *id = plain(json_object_array_get_idx(ids, i), OCI_DIGEST_SIZE);
		if (!id || !oci_digest_valid(id))
			return err_set(err, EBADMSG,
				       "diff_id %zu of the image config is no sha256 digest",
				       i + 1);
		memcpy(ret->diff_ids[ret->diff_id_count++], id, OCI_DIGEST_SIZE);
	}
	return 0;
}

int oci_config_parse(const char *text, size_t len, struct oci_config *ret, struct err *err)
{
	cleanup_json struct json_object *root = parse(text, len, "the image config", err);
	if (!root)
		return -EBADMSG;
	*ret = (struct oci_config){ 0 };
	struct json_object *config = member(root, "config", json_type_object);
	int rc = diff_ids_of(root, ret, err);
	if (rc == 0)
		rc = words_of(config, "Env", &ret->env, err);
	if (rc == 0)
		rc = words_of(config, "Entrypoint", &ret->entrypoint, err);
	if (rc == 0)
		rc = words_of(config, "Cmd", &ret->cmd, err);
	const char *dir = text_of(config, "WorkingDir", PATH_MAX - 1);
	const char *user = text_of(config, "User", 256);
	if (rc == 0 && dir && *dir && *dir != '/')
		rc = err_set(err, EBADMSG, "WorkingDir of the image config is not absolute");
	ret->working_dir = dir && *dir ? strdup(dir) : NULL;
	ret->user = user && *user ? strdup(user) : NULL;
	if (rc < 0)
		oci_config_finish(ret);
	return rc;
}

/* "tiny:v1" is what people say of docker.io/library/tiny:v1. */
static bool has_tag(struct json_object *image, const char *tag)
{
	size_t len = strlen(tag);
	struct json_object *tags = member(image, "RepoTags", json_type_array);
	for (size_t i = 0; tags && i < json_object_array_length(tags); i++) {
		const char *t = plain(json_object_array_get_idx(tags, i), OCI_REF_SIZE);
		size_t n = t ? strlen(t) : 0;
		if (n >= len && strcmp(t + n - len, tag) == 0 &&
		    (n == len || t[n - len - 1] == '/'))
			return true;
	}
	return false;
}

int oci_docker_parse(const char *text, size_t len, const char *tag, struct oci_docker *ret,
		     struct err *err)
{
	cleanup_json struct json_object *root = parse(text, len, "manifest.json", err);
	if (!root)
		return -EBADMSG;
	*ret = (struct oci_docker){ 0 };
	if (!json_object_is_type(root, json_type_array))
		return err_set(err, EBADMSG, "manifest.json is no list of images");
	struct json_object *image = NULL;
	size_t count = json_object_array_length(root);
	for (size_t i = 0; tag && !image && i < count; i++)
		if (has_tag(json_object_array_get_idx(root, i), tag))
			image = json_object_array_get_idx(root, i);
	if (!tag && count == 1)
		image = json_object_array_get_idx(root, 0);
	if (!image && tag)
		return err_set(err, ENOENT, "manifest.json holds no image %s", tag);
	if (!image)
		return err_set(err, EINVAL, "manifest.json holds %zu images: name one as FILE:TAG",
			       count);
	const char *config = text_of(image, "Config", PATH_MAX - 1);
	struct json_object *layers = member(image, "Layers", json_type_array);
	if (!config || !layers || json_object_array_length(layers) > OCI_LAYERS_MAX)
		return err_set(err, EBADMSG, "manifest.json names no config or no layers");
	ret->config = strdup(config);
	for (size_t i = 0; i < json_object_array_length(layers); i++) {
		const char *name = plain(json_object_array_get_idx(layers, i), PATH_MAX - 1);
		ret->layers[ret->layer_count] = name ? strdup(name) : NULL;
		if (!ret->layers[ret->layer_count]) {
			oci_docker_finish(ret);
			return err_set(err, EBADMSG, "layer %zu of manifest.json has no name",
				       i + 1);
		}
		ret->layer_count++;
	}
	if (!ret->config) {
		oci_docker_finish(ret);
		return err_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static bool for_this_machine(const struct oci_reference *r)
{
#if defined(__x86_64__)
	static const char here[] = "amd64";
#elif defined(__aarch64__)
	static const char here[] = "arm64";
#else
	static const char here[] = "";
#endif
	return strcmp(r->os, "linux") == 0 && strcmp(r->architecture, here) == 0;
}

const struct oci_reference *oci_index_choose(const struct oci_index *index, const char *ref,
					     struct err *err)
{
	const struct oci_reference *only = NULL, *here = NULL;
	unsigned matching = 0, local = 0;
	for (unsigned i = 0; i < index->count; i++) {
		const struct oci_reference *r = &index->items[i];
		if (ref && strcmp(r->ref, ref) != 0)
			continue;
		matching++;
		only = r;
		if (for_this_machine(r)) {
			local++;
			here = r;
		}
	}
	if (matching == 1)
		return only;
	if (local == 1)
		return here;
	char known[256] = "";
	for (unsigned i = 0; i < index->count; i++) {
		size_t len = strlen(known);
		snprintf(known + len, sizeof(known) - len, "%s%.60s", len ? ", " : "",
			 index->items[i].ref[0] ? index->items[i].ref : "(unnamed)");
	}
	if (matching == 0 && ref)
		err_set(err, ENOENT, "the image index has no '%s'; it has: %s", ref, known);
	else
		err_set(err, EINVAL, "the image index has %u images: name one as PATH:TAG (%s)",
			matching, known);
	return NULL;
}

void oci_manifest_finish(struct oci_manifest *m)
{
	json_object_put(m->json);
	m->json = NULL;
}

void oci_config_finish(struct oci_config *c)
{
	free_words(c->env);
	free_words(c->entrypoint);
	free_words(c->cmd);
	free(c->working_dir);
	free(c->user);
	*c = (struct oci_config){ 0 };
}

void oci_docker_finish(struct oci_docker *d)
{
	free(d->config);
	for (unsigned i = 0; i < d->layer_count; i++)
		free(d->layers[i]);
	*d = (struct oci_docker){ 0 };
}
