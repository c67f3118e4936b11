/* What a program that reads foreign bytes takes from itself before it does. */
#pragma once

#include "base/confine.h"

/*
 * For good, in this process: no_new_privs; root's capabilities but those to make files for others
 * (and with @overlay_marks to write trusted.overlay.*); Landlock down to @places; a seccomp filter without
 * execve, sockets, ptrace, mounts, namespaces or processes; a bound on memory. Each that cannot be had is
 * an error, but for Landlock on a kernel that has none: *ret_landlock says whether it holds.
 */
int archive_confine(const struct confine_place *places, unsigned count, bool overlay_marks,
		    bool *ret_landlock, struct err *err);
