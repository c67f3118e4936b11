/* The process that is one container's session: loads its policy, then is its gateway. */
#pragma once

struct container_plan;
struct oci_guest;

/* Body of it. The exit code. */
int oci_worker_run(const struct oci_guest *g, const struct container_plan *container);
