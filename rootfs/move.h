/* Renaming what an overlay will not rename: a directory that exists in a lower layer. */
#pragma once

/*
 * Moves directory @from_dir/@from to @to_dir/@to within one overlay after
 * rename(2) said EXDEV: directories are made anew, files renamed one by one, then the old
 * directories removed. Owner, mode, times and extended attributes are kept. @flags: RENAME_NOREPLACE
 * or 0. The caller guarantees that nobody else changes names meanwhile. 0, -errno; -EXDEV
 * when the two are on different filesystems. On failure what was moved is moved back.
 */
int move_tree(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);

/*
 * A move_tree from @to to @from was interrupted, and is taken back: what is in directory @from goes into
 * directory @to, which is there too; @from goes. 0, -errno.
 */
int move_merge(int from_dir, const char *from, int to_dir, const char *to);
