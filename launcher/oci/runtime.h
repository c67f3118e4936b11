/*
 * A runtime that patches the bundle of each container it makes, then becomes the real one: for engines that
 * know no hooks, and for those whose profiles lose the listener (Docker).
 */
#pragma once

/*
 * @argv as the engine gave it, @argv[0] the name we were called by (vsandbox-runc, vsandbox-crun,
 * vsandbox-runc-POLICY) or "runtime". Returns only when the container must not be made: the exit code.
 */
int oci_runtime_main(char **argv);

/* The name in @argv0 when it is one of those links; NULL. */
const char *oci_runtime_name(const char *argv0);
