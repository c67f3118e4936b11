/* Times as counts. clock_gettime(2). */
#pragma once

#include <stdint.h>
#include <time.h>

/* Nanoseconds since the epoch of @clock, which this system has. */
uint64_t clock_ns(clockid_t clock);
/* Milliseconds of CLOCK_MONOTONIC: for deadlines. */
uint64_t clock_ms(void);
/* Minutes that local time is ahead of UTC now; 0 when the zone is not known. */
int16_t clock_utc_offset_min(void);
