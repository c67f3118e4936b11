/* doctor --oci: can containers of this host's runtimes be decided on? */
#pragma once

#include <stdbool.h>

/* Prints the checks. The exit code. */
int doctor_oci(const char *socket, bool json);
