/* With whose powers the monitor acts. All of it concerns the calling thread alone. */
#pragma once

struct tracee;
struct worker;

/* Acts as the caller where its ids or capabilities may differ from ours; and back. */
int creds_assume(struct worker *w);
void creds_resume(struct worker *w);

/* As @task has them just now; it must be waiting. 0, -errno: with less than before, and to be returned from as well. */
int creds_become(const struct tracee *task);
void creds_return(void);

/*
 * Runs without CAP_SYS_PTRACE, by which /proc judges who may look into another process; and back.
 */
void creds_drop_ptrace(void);
void creds_raise_ptrace(void);
