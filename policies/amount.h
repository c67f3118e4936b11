/* Amounts as people write them in policies, flags and the configuration. */
#pragma once

#include <stdint.h>

/* Plain numbers with K, M, G or T (1024 each); -EINVAL. */
int size_parse(const char *text, uint64_t *ret);
/* "90", "90s", "30m", "2h", "1d"; -EINVAL. */
int seconds_parse(const char *text, uint64_t *ret);
