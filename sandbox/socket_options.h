/* What a program has set on a stream socket before it connects. socket(7), tcp(7), ip(7), ipv6(7). */
#pragma once

#include <stdbool.h>

/*
 * Sets on @to what @from has otherwise than a new socket of @family in this thread's network namespace. What
 * @to refuses is left as it is. 0, -errno when the new socket cannot be made.
 */
int socket_options_replay(int from, int to, int family);

/* Has @fd what cannot be set again on another socket: an address of its own, a filter, signals? */
bool socket_options_bound(int fd);
