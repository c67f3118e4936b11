/*
 * What the caller's own stdin, stdout and stderr lead to, and whatever else came by descriptor from outside:
 * it lies on mounts that are not the sandbox's, where no overlay stands before the host's file.
 */
#pragma once

struct worker;
struct place;

enum outside_use {
	OUTSIDE_CONTENT, /* to be written: no more than its descriptor could do anyway */
	OUTSIDE_META,    /* mode, owner, times, attributes: nothing was granted */
};

/* 0; -EROFS when @p lies outside and may not be used so; -errno when that cannot be found out. */
int outside_check(struct worker *w, const struct place *p, enum outside_use use);
