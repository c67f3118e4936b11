#!/bin/bash
# For GitHub's runner: ACTIONS_RUNNER_CONTAINER_HOOKS=/usr/share/vsandbox/ci/vsandbox-gha-hook.sh (an absolute path).
# Options of `vsandbox ci github` go into VSANDBOX_GHA_OPTIONS, in the environment that the runner's service has.
# shellcheck disable=SC2086 # words
exec /usr/bin/vsandbox ci github ${VSANDBOX_GHA_OPTIONS:-}
