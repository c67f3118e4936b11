/* Removing what an agent or an image made: trees of any mode, never through a link. */
#pragma once

/* Removes @name in @dirfd with all below it, directories without permissions included. 0 when it is not there. */
int remove_tree(int dirfd, const char *name);
/* The same for all that is in the directory, which stays. */
int remove_below(int dirfd);
