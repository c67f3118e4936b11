/*
 * What the filter lets through to sockets where the agent may hold one of the host's network: by option
 * and request, which stand in registers, whatever the descriptor. Private to filter*.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct filter_option {
	uint16_t level, name;
};

/*
 * setsockopt(2): no other device, route or peer comes of these, and no message leaves by them.
 * Ends with level UINT16_MAX.
 */
extern const struct filter_option filter_handover_options[];
/* Levels whose options concern sockets that are never handed over. Ends with UINT16_MAX. */
extern const uint16_t filter_handover_levels[];
