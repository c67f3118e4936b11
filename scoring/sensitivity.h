/* The classes a path belongs to, as a set of bits 1 << enum sensitivity_class. */
#pragma once

#include <stdint.h>

#include "scoring/sensitivity_names.h"

uint32_t sensitivity_classes(const char *path);
