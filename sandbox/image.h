/* What the kernel has mapped for a program that it has just loaded, and of which nothing has run yet. */
#pragma once

#include <stddef.h>

/*
 * The file that was mapped beside the program itself by the task at @proc_dir (a directory of /proc): the loader that an ELF
 * program names, whatever the form of either. 1: @path is its name, without the mark of one that is gone; 0 there is none.
 * -EMEDIUMTYPE: more than one, or a name with a line break in it; or why its map cannot be read.
 */
int image_loader(int proc_dir, char *path, size_t size);
