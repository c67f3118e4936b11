/* Paths as text. */
#pragma once

#include <stdbool.h>

/* True when @path is @dir or below it. Pure; both canonical. */
bool path_is_within(const char *path, const char *dir);
