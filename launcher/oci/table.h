/* The system call table as clauses, for a library that has no order among conditional rules (libseccomp). */
#pragma once

#include <stdint.h>

#include "launcher/oci/clause.h"

struct box_plan;

enum { OCI_CLAUSES_MAX = 24 };

/* What a container is filtered by: the table as for an attached process. Also the monitor's. */
extern const struct box_plan oci_plan;

/* The architecture whose numbers the table has. */
extern const char oci_arch[];

/*
 * What the table says of call @nr, no two of which can hold at once. What it says and clauses cannot is sent to
 * the monitor whole. Their number; 0: there is no such call.
 */
unsigned oci_table_clauses(uint32_t nr, struct oci_clause list[static OCI_CLAUSES_MAX]);

/* A clause without conditions: the call is sent to the monitor. */
struct oci_clause oci_table_ask(void);
/* … fails as one that is not there. */
struct oci_clause oci_table_unknown(void);
