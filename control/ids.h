/*
 * Numbers for actions, alerts, feed rows and rollbacks: made by each server process without asking
 * the database, ordered by time, and exact in JavaScript (53 bits): milliseconds since 2024,
 * 5 bits of the process's node, 7 bits of sequence. So the newest row has the largest number, and a day
 * of actions is a range of numbers: what PostgreSQL partitions by.
 */
#pragma once

#include <stdint.h>

enum { IDS_NODES = 32, IDS_TIME_SHIFT = 12 };

/* From now on this process is @node (0..IDS_NODES-1), which it has claimed in the store. */
void ids_set_node(unsigned node);
unsigned ids_node(void);
/* (id >> IDS_NODE_SHIFT) & (IDS_NODES - 1): who made it. */
enum { IDS_NODE_SHIFT = 7 };
/* The next number. Any thread. A clock that steps back or a burst runs ahead of time, never repeats. */
int64_t ids_next(void);
/* The smallest number of that moment (microseconds since 1970). */
int64_t ids_at(int64_t wall_us);
/* Microseconds since 1970, now. */
int64_t ids_now_us(void);
