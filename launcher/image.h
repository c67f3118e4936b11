/* What --rootfs names: a directory, or an image that is unpacked into the cache first. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "launcher/state.h"
#include "rootfs/oci.h"

struct image {
	char root[STATE_PATH_SIZE];  /* absolute host directory to be `/` inside; "" none */
	char cache[STATE_PATH_SIZE]; /* where all images are unpacked; "" unknown */
	struct oci_config config;    /* what the image wants run; owned; empty for a directory */
};

/*
 * @given: DIR, TARBALL, OCI layout or archive, `docker save` archive; PATH:TAG chooses of several. An
 * image that was unpacked before is not read again while its file is unchanged. -EBADMSG: refused, with
 * the entry in @err.
 */
int image_open(const char *given, struct image *ret, struct err *err);
void image_close(struct image *i);

/*
 * @args, or when there are none what the image runs of itself: its entry point and its command. An
 * owned array of borrowed strings; NULL when there is nothing to run.
 */
char **image_argv(const struct image *i, char *const *args);
/*
 * What is put into the environment: of an image its own variables, a PATH and TMPDIR that fit it; then
 * @set (NULL-terminated). An owned array; entries that image_environment_free frees.
 */
char **image_environment(const struct image *i, const char *const *set);
void image_environment_free(char **env);
