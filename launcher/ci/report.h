/* A job's report: what was denied, what left the machine, how risky it was. For people, test reports and code scanning. */
#pragma once

#include <stdio.h>

#include "launcher/ci/findings.h"

/* report_junit.c: as Jenkins and GitLab read it. */
void ci_report_junit(FILE *f, const struct ci_findings *all);
/* report_sarif.c: SARIF 2.1.0. */
void ci_report_sarif(FILE *f, const struct ci_findings *all);

/* NAME.txt, NAME.junit.xml and NAME.sarif in the directory @dirfd, of the session @id. */
int ci_report_write(const char *id, int dirfd, const char *name, struct err *err);
/* The same in the directory @dir, named after the session. */
int ci_report_write_to(const char *id, const char *dir, struct err *err);
/* The text on @f; an error is told there instead. */
void ci_report_tell(const char *id, FILE *f);
