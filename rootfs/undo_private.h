/* What the parts of undo share. */
#pragma once

#include <sys/stat.h>

#include "rootfs/undo.h"

enum { UNDO_WHY_SIZE = 160 };

/*
 * An object that came back under another inode number: @old it had when record @target
 * removed it, @new since record @number of the journal.
 */
struct undo_remade {
	uint64_t old, new, target, number;
};

/* A name of an inode that has several, in the upper of one layer. */
struct undo_name {
	uint64_t ino;
	const struct undo_layer *layer;
	char *rel; /* owned */
};

struct undo_run {
	int root_fd;
	const struct undo_layers *layers;
	struct journal *journal;
	struct journal_reader *reader;
	/* of the record under way */
	uint32_t state;             /* before this run touched it */
	bool continued;             /* somebody may have undone a part of it, and died */
	struct undo_remade *remade; /* owned */
	size_t remade_count, remade_room;
	struct undo_name *names; /* owned */
	size_t name_count, name_room;
	char why[UNDO_WHY_SIZE];
};

/* Where a path leads in the merged view: its parent, its leaf, what is there. */
struct undo_place {
	int parent_fd; /* O_PATH, owned */
	const char *leaf;
	const char *path;
	const struct undo_layer *layer; /* NULL none of ours */
	bool exists;
	struct stat st;
};
int undo_place_open(const struct undo_run *u, const char *path, struct undo_place *ret);
void undo_place_close(struct undo_place *p);
#define cleanup_place __attribute__((cleanup(undo_place_close)))

/* The number that what was number @ino at the time of record @number has now. */
uint64_t undo_number(const struct undo_run *u, uint64_t ino, uint64_t number);
/* Tells the journal, and the rest of this run, that @v's object is number @ino now. 0, -errno. */
int undo_remade(struct undo_run *u, const struct journal_view *v, const struct undo_place *p,
		uint64_t ino);

/* Makes the object again that the record keeps, where there is none. 0, -errno with u->why. */
int undo_make(struct undo_run *u, const struct journal_view *v, const struct undo_place *p);
/* The record leans on a file of the host's: is that what it was? Else u->why says what is wrong. */
bool undo_lower_is_there(struct undo_run *u, const struct journal_view *v);
/* Writes the kept content into the file that is there, and gives it its attributes. 0, -errno. */
int undo_rewrite(struct undo_run *u, const struct journal_view *v, const struct undo_place *p);
/* Owner, mode, times, and the extended attributes where the record keeps them. 0, -errno. */
int undo_attributes(struct undo_run *u, const struct journal_view *v, const struct undo_place *p);
/* Sets the times of the directory @p stands in. 0, -errno. */
int undo_times(int parent_fd, const struct journal_time dir[2]);

/* One record. The outcome; u->why says more. */
enum undo_outcome undo_record(struct undo_run *u, const struct journal_view *v);

/* -errno with a text for a person in u->why. */
int undo_why(struct undo_run *u, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Another name of the inode @ino in the upper of @p's layer, as a path in the layer; NULL none. */
const char *undo_other_name(struct undo_run *u, const struct undo_place *p, uint64_t ino);
/* The object at @p is number @ino now. 0, -ENOMEM. */
int undo_names_add(struct undo_run *u, const struct undo_place *p, uint64_t ino);
void undo_names_finish(struct undo_run *u);
