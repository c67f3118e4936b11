/*
 * What the gateway asks of a running monitor, and how it is done: one table, in requests.c. A
 * handler runs on the thread that supervises, which is the one that may freeze.
 */
#pragma once

#include <stdbool.h>

#include "sandbox/packet.h"

struct watch;

/* Carries out a MONITOR_REQUEST and sends its MONITOR_REPLY. */
void requests_serve(struct watch *watch, const struct packet *m);
/* A pause that was asked for without the gateway: nobody waits for a reply. */
void requests_pause_now(struct watch *watch);
/* Paused until somebody says otherwise; false while a command that lets it go on by itself has it paused. */
bool requests_paused(const struct watch *watch);
