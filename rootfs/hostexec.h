/* Files that programs of the host run, or take commands from, without anybody asking for them by name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Why the host would execute what is at @path: a short phrase. NULL: no reason known. @home: the
 * user's home directory, "" unknown. Pure.
 */
const char *hostexec_path(const char *path, const char *home);

/* Files of which only some keys run programs, so that the content decides: .git/config, package.json … */
bool hostexec_by_content(const char *path);
/*
 * The first key that runs a program in @text (of a file for which hostexec_by_content holds) but not, with
 * the same line, in @before; false: none. @before may be "". Pure.
 */
bool hostexec_content(const char *path, const char *text, const char *before, char *ret,
		      size_t size);

/* Where a symbolic link at @path leads: absolute, or out of @workspace. NULL: neither. Pure. */
const char *hostexec_link(const char *path, const char *target, const char *workspace);
