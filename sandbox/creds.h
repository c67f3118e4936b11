/* With whose powers the monitor acts. All of it concerns the calling thread alone. */
#pragma once

struct worker;

/* Acts as the caller where its ids or capabilities may differ from ours; and back. */
int creds_assume(struct worker *w);
void creds_resume(struct worker *w);

/*
 * Runs without CAP_SYS_PTRACE, by which /proc judges who may look into another process; and back.
 */
void creds_drop_ptrace(void);
void creds_raise_ptrace(void);
