/* Moving a directory must not carry protected files out of the patterns that protect them. */
#pragma once

struct worker;

/*
 * For the rename in @w (place[0] a directory, place[1] its new name; both ways for RENAME_EXCHANGE): 0, or
 * -EACCES when something below could be read under its new name but not under its old one. A
 * directory this session made holds only what was judged name by name and is not looked through.
 */
int reveal_check(struct worker *w);
