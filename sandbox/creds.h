/* With whose powers the monitor acts. All of it concerns the calling thread alone. */
#pragma once

struct place_env;
struct tracee;

/*
 * Acts as @task, which waits for its call, where its ids or capabilities may differ from ours; and back. 0, -errno: with
 * less than before, and to be resumed from as well.
 */
int creds_assume(const struct place_env *env, const struct tracee *task);
void creds_resume(const struct place_env *env);

/*
 * Runs without CAP_SYS_PTRACE, by which /proc judges who may look into another process; and back.
 */
void creds_drop_ptrace(void);
void creds_raise_ptrace(void);
