/* What a terminal may show: colour rules, and untrusted text made harmless. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"

#define TERM_RESET  "\033[0m"
#define TERM_RED    "\033[31m"
#define TERM_GREEN  "\033[32m"
#define TERM_YELLOW "\033[33m"
#define TERM_DIM    "\033[2m"

/* Colour only on a terminal that can, and never with NO_COLOR. Asked once for each fd. */
bool term_color(int fd);

/* Columns and rows of the terminal behind @fd; 0: it is none, or does not say. */
unsigned term_width(int fd);
unsigned term_height(int fd);

/* A terminal whose keys go to a program one by one: one that draws the whole screen, or a line editor. */
bool term_is_raw(int fd);

/* @text, which holds no escape code, as a line: of more characters than @width the last shown is "…"; 0: all. */
void term_line(FILE *f, const char *text, unsigned width);

/* @text escaped for a terminal. */
void term_text(FILE *f, const char *text);
/* As term_text, with the home directory as ~. */
void term_path(struct buf *b, const char *path);
/* A command line, quoted for a shell where needed, then escaped. */
void term_argv(struct buf *b, char *const *argv);

/* One line of stdin: its first letter, lower case; 'n' at the end of input, or when a signal interrupts it. */
int term_answer(void);

/* @text as a JSON string, of any length. */
void json_text(FILE *f, const char *text);
/* ,"name":"text" or ,"name":null; without the comma when @first. */
void json_member(FILE *f, bool first, const char *name, const char *text);

/* Flushes stdout. 0, or EXIT_USAGE with a message when it could not be written. */
int out_finish(void);
