/* doctor --pid: whether attach would take a process, and if not, why. */
#pragma once

#include "launcher/options.h"

/* Prints one line for each check, or JSON. Returns the exit code. */
int doctor_pid(const char *pid, bool json);
