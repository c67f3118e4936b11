# vsandbox. `make help` lists the targets; `make demo` and `make check` need nothing before them.
#
# MODE=release (default) | debug | asan | fuzz chooses flags and the directory below build/.

MODE ?= release
# make V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1) $(2)')
ifeq ($(origin CC),default)
CC := gcc
endif
B := build/$(MODE)
PREFIX ?= /usr/local
DESTDIR ?=
LIBEXEC := $(PREFIX)/libexec/vsandbox
DATADIR := $(PREFIX)/share/vsandbox
MANDIR := $(PREFIX)/share/man
VERSION := 0.1.0

# Lowest floor first. A floor links only with those before it, so an upward call is a link error.
FLOORS := base policies scoring net rootfs sandbox launcher
LIBS := -lseccomp -lcap-ng -ljson-c -lnettle -lm

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wvla -Wundef -Wformat=2 -Wcast-qual -Wswitch-enum -Werror \
	-Wno-missing-field-initializers
GCC_WARN := -Wformat-signedness -Wimplicit-fallthrough=5 -Wcast-align=strict -Wnull-dereference \
	-Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init -Wbidi-chars=any
ifneq (,$(findstring gcc,$(shell $(CC) --version 2>/dev/null | head -n 1)))
WARN += $(GCC_WARN)
endif

CPPFLAGS += -I. -D_GNU_SOURCE -DVSANDBOX_VERSION='"$(VERSION)"' -DVSANDBOX_DATADIR='"$(DATADIR)"' \
	-DVSANDBOX_LIBEXEC='"$(LIBEXEC)"'
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-ftrivial-auto-var-init=zero -fcf-protection=full
# The machine that is built for, not the one that builds.
ifeq (,$(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null)))
CFLAGS_release := $(filter-out -fcf-protection=full,$(CFLAGS_release))
endif
CFLAGS_debug := -O0 -g3
# The sanitizers hide from gcc what it needs to see that a bounded snprintf is checked.
CFLAGS_asan := -O1 -g3 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
	-Wno-format-truncation
# clang warns of what json-c's macros are made of, gcc does not.
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-Wno-gnu-statement-expression
CFLAGS += -std=gnu17 -fPIE -ffunction-sections -fdata-sections $(WARN) $(CFLAGS_$(MODE))
LDFLAGS_release := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed -Wl,--gc-sections
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS += -pie -pthread $(LDFLAGS_$(MODE))

floor_src = $(sort $(wildcard $(1)/*.c) $(if $(filter net,$(1)),$(wildcard net/wire/*.c)) \
	$(if $(filter launcher,$(1)),$(wildcard launcher/oci/*.c launcher/ci/*.c)))
obj = $(patsubst %.c,$(B)/%.o,$(1))
archive = $(B)/lib$(1).a
# The archives of a floor and all below it, highest first, as the linker wants them.
rev = $(if $(1),$(call rev,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
upto = $(call rev,$(foreach f,$(FLOORS),$(if $(filter $(f),$(call below,$(1))),$(call archive,$(f)))))
below = $(wordlist 1,$(words $(call until,$(1),$(FLOORS))),$(FLOORS))
until = $(firstword $(2)) $(if $(filter $(1),$(firstword $(2))),,$(call until,$(1),$(wordlist 2,$(words $(2)),$(2))))

.DEFAULT_GOAL := all
.SUFFIXES:
# Sibling programs that vsandbox starts when it needs them: what costs start-up time or reads foreign
# bytes. siblings/NAME.c and NAME_*.c make vsandbox-NAME; with the highest floor and the libraries of each.
SIBLINGS := archive errands inspect mcp net patch serve uplink
sibling_floor_patch := rootfs
sibling_libs_patch := -lgit2
sibling_floor_archive := rootfs
sibling_libs_archive := -larchive -lzstd
# The broker of the network: it alone parses what the network says.
sibling_src_net := $(wildcard net/broker/*.c)
sibling_floor_net := net
sibling_libs_net := -lcares
# The inspector of database connections: it alone links PostgreSQL's grammar.
sibling_src_inspect := $(wildcard net/inspect/*.c)
sibling_floor_inspect := net
sibling_libs_inspect := -lpg_query
# The first program of a CI job's sandbox: it runs in images too, so nothing is to be found for it.
sibling_floor_errands := base
sibling_ld_errands := -static-pie
# Tools over stdio, on the client library.
SDK_SRC := $(filter-out sdk/c/example.c,$(wildcard sdk/c/*.c))
sibling_src_mcp := siblings/mcp.c control/tools.c control/json.c $(SDK_SRC)
sibling_floor_mcp := base
sibling_libs_mcp := -lcurl
# The control plane stands on policies and scoring, never on sandbox.
sibling_src_serve := $(wildcard control/*.c control/serve/*.c)
sibling_floor_serve := scoring
sibling_libs_serve := -lmicrohttpd -lsqlite3 -lpq -lcurl -lgnutls
# Reports to the control plane; speaks to a session as the verbs do.
sibling_floor_uplink := launcher
sibling_libs_uplink := -lcurl
SIBLING_LIBS := $(sort $(foreach s,$(SIBLINGS),$(sibling_libs_$(s))))
SIBLING_BIN := $(SIBLINGS:%=$(B)/vsandbox-%)

.PHONY: all
all: $(B)/vsandbox $(SIBLING_BIN) ## build the programs

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# What looks for installed files is compiled anew for another PREFIX: `make && make install PREFIX=/usr`.
.PHONY: FORCE
$(B)/prefix: FORCE
	@mkdir -p $(@D)
	@echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' >$@
$(patsubst %.c,$(B)/%.o,$(shell grep -lE 'VSANDBOX_(DATADIR|LIBEXEC)' -r launcher --include='*.c')): $(B)/prefix

define floor_rule
$(call archive,$(1)): $(call obj,$(call floor_src,$(1)))
	@rm -f $$@
	$$(Q)ar qcs $$@ $$^
endef
$(foreach f,$(FLOORS),$(eval $(call floor_rule,$(f))))

PROGRAM_WITH_asan := $(B)/tests/lib/asan.o
$(B)/vsandbox: $(call upto,launcher) $(PROGRAM_WITH_$(MODE))
	$(call say,ld,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -Wl,--whole-archive $(call archive,launcher) -Wl,--no-whole-archive \
		$(filter-out $(call archive,launcher),$^) $(LIBS) -o $@

sibling_src = $(sort $(or $(sibling_src_$(1)),$(wildcard siblings/$(1).c siblings/$(1)_*.c)))
define sibling_rule
$(B)/vsandbox-$(1): $(call obj,$(call sibling_src,$(1))) $(PROGRAM_WITH_$(MODE)) $(call upto,$(sibling_floor_$(1)))
	$$(call say,ld,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$(sibling_ld_$(1)) $$^ $$(sibling_libs_$(1)) $$(LIBS) -o $$@
endef
# A static program has no sanitizers: under them it is the one of MODE=release.
ifeq ($(MODE),asan)
$(foreach s,$(filter-out errands,$(SIBLINGS)),$(eval $(call sibling_rule,$(s))))
$(B)/vsandbox-errands: FORCE
	@mkdir -p $(@D)
	$(Q)$(MAKE) --no-print-directory MODE=release build/release/vsandbox-errands
	$(Q)cmp -s build/release/vsandbox-errands $@ || cp build/release/vsandbox-errands $@
else
$(foreach s,$(SIBLINGS),$(eval $(call sibling_rule,$(s))))
endif

$(B)/control/%.o: CPPFLAGS += -I/usr/include/postgresql

# The client library for programs in C; sdk/python needs no build.
SDK_SONAME := libvsandbox.so.0
SDK_SHARED := $(B)/libvsandbox.so.$(VERSION)
SDK_OBJ := $(call obj,$(SDK_SRC))
SDK_PROGRAMS := $(B)/sdk/c/example $(B)/tests/sdk/client
$(SDK_OBJ): CFLAGS += -fPIC -fvisibility=hidden
$(B)/libvsandbox.a: $(SDK_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(SDK_SHARED): $(SDK_OBJ) sdk/c/libvsandbox.map
	$(call say,ld,$@)
	$(Q)$(CC) $(CFLAGS) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(SDK_SONAME) \
		-Wl,--version-script=sdk/c/libvsandbox.map -Wl,-z,defs $(SDK_OBJ) -lcurl -ljson-c -o $@
	ln -sf $(@F) $(B)/$(SDK_SONAME)
	ln -sf $(@F) $(B)/libvsandbox.so
$(B)/sdk/c/example.o $(B)/tests/sdk/client.o: CPPFLAGS += -Isdk/c
$(SDK_PROGRAMS): %: %.o $(SDK_SHARED)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< -L$(B) -lvsandbox -o $@
.PHONY: sdk
sdk: $(B)/libvsandbox.a $(SDK_SHARED) $(SDK_PROGRAMS) ## build the client library for programs in C

# The dashboard's files are data of the server: _binary_control_dashboard_NAME_start and _end.
DASHBOARD := $(sort $(wildcard control/dashboard/*))
$(B)/vsandbox-serve: $(B)/control/dashboard.o
$(B)/control/dashboard.o: $(DASHBOARD) Makefile
	@mkdir -p $(@D)
	$(call say,ld,$@)
	$(Q)$(LD) -r -b binary -z noexecstack -o $@ $(DASHBOARD)

# A unit test is linked with its own floor and those below: tests/unit/FLOOR_NAME.c
UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(UNIT_SRC))
floor_of = $(firstword $(subst _, ,$(notdir $(1))))
# … and with what it names here, of programs that are no floor.
UNIT_WITH_net_pg_tree := $(B)/net/inspect/pg_tree.o
UNIT_WITH_scoring_server_confine := $(addprefix $(B)/control/,confine.o db.o db_sqlite.o db_postgres.o)
UNIT_WITH_scoring_server_upkeep := $(patsubst %.c,$(B)/%.o,$(wildcard control/*.c)) $(B)/control/dashboard.o
define unit_rule
$(B)/tests/unit/$(1): $(B)/tests/unit/$(1).o $(UNIT_WITH_$(1)) $(call upto,$(call floor_of,$(1)))
	$$(call say,ld,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ -lcmocka -lm $$(SIBLING_LIBS) $$(LIBS) -o $$@
endef
$(foreach t,$(notdir $(basename $(UNIT_SRC))),$(eval $(call unit_rule,$(t))))

# What the system's headers know, so that the table can be held against them.
$(B)/tests/unit/header_calls.inc: /usr/include/linux/unistd.h Makefile
	@mkdir -p $(@D)
	echo '#include <asm/unistd.h>' | $(CC) -E -dM - | \
		sed -nE 's/^#define __NR_([a-z0-9_]+) ([0-9]+)$$/{ \2, "\1" },/p' | sort -n -k2 >$@
$(B)/tests/unit/base_syscalls.o: $(B)/tests/unit/header_calls.inc
$(B)/tests/unit/base_syscalls.o: CPPFLAGS += -I$(B)/tests/unit

$(B)/docs/gen-syscalls: $(B)/docs/gen-syscalls.o $(call upto,base)
	$(call say,ld,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

# The seccomp programs are compiled here, so that no start waits for it.
FILTER_GEN := $(B)/sandbox/gen/filters
$(FILTER_GEN): $(FILTER_GEN).o $(B)/sandbox/filter_compile.o $(B)/sandbox/filter_rows.o $(call archive,base)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@
$(B)/sandbox/filter_programs.c: $(FILTER_GEN)
	$(call say,gen,$@)
	$(Q)$< >$@.new && mv $@.new $@
$(B)/sandbox/filter_programs.o: $(B)/sandbox/filter_programs.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
# For another machine than this one the floor has no programs: whoever links it compiles there.
ifeq ($(shell uname -m),$(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null))))
$(call archive,sandbox): $(B)/sandbox/filter_programs.o
endif

.PHONY: docs docs-check
docs: $(B)/docs/gen-syscalls ## write docs/syscalls.md from the table (on x86-64)
	$< >docs/syscalls.md
docs-check: $(B)/docs/gen-syscalls ## fail when docs/syscalls.md is not what the table says
	if [ "$$(uname -m)" = x86_64 ]; then $< | diff -u docs/syscalls.md -; fi

.PHONY: unit
unit: $(UNIT_BIN) docs-check ## build and run the unit tests
	CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 $(UNIT_BIN)

# Programs that attack, compare and measure: small, each one file, built without the floors.
PROBE_CFLAGS := -std=gnu17 -O1 -g -D_GNU_SOURCE -Wall -Wextra -Werror -pthread
probes = $(patsubst %.c,$(B)/%,$(sort $(wildcard $(1)/*.c)))
PROBES := $(call probes,tests/attach) $(call probes,tests/oci) $(call probes,tests/escape) $(call probes,tests/commit) \
	$(call probes,tests/fidelity) $(call probes,tests/net) $(call probes,bench) \
	$(B)/tests/rollback/mutate
$(PROBES): $(B)/%: %.c
	@mkdir -p $(@D)
	$(call say,cc,$<)
	$(Q)$(CC) $(PROBE_CFLAGS) -MMD -MP -MF $@.d $< -o $@
.PHONY: probes
probes: $(PROBES)

# Stands between database clients and servers as broker and monitor do.
BETWEEN := $(B)/tests/wire/between
$(BETWEEN): $(BETWEEN).o $(call upto,net)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

# A kernel test starts real boxes: tests/kernel/NAME.c, linked with everything below the launcher.
KERNEL_SRC := $(sort $(wildcard tests/kernel/*.c))
KERNEL_BIN := $(patsubst tests/kernel/%.c,$(B)/tests/kernel/%,$(KERNEL_SRC))
define kernel_rule
$(B)/tests/kernel/$(1): $(B)/tests/kernel/$(1).o $(call upto,sandbox)
	$$(call say,ld,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(LIBS) -o $$@
endef
$(foreach t,$(notdir $(basename $(KERNEL_SRC))),$(eval $(call kernel_rule,$(t))))

# Shows an ended session's merged tree; driven by tests/rollback/*.py.
MERGED_BIN := $(B)/tests/rollback/merged
$(MERGED_BIN): $(MERGED_BIN).o $(call upto,sandbox)
	$(call say,ld,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

.PHONY: kernel
kernel: $(KERNEL_BIN) ## build and run the tests that need namespaces
	prove $(KERNEL_BIN)

# tests/fuzz/NAME.c runs over tests/fuzz/corpus/NAME; with tests/fuzz/replay as main it needs no fuzzer.
FUZZ_SECONDS ?= 10
# … and with what it names here, of programs that are no floor.
FUZZ_WITH_control := $(call obj,$(wildcard control/*.c)) $(B)/control/dashboard.o
FUZZ_NAMES := $(basename $(notdir $(sort $(wildcard tests/fuzz/*.c))))
define fuzz_rule
$(B)/tests/fuzz/$(1): $(B)/tests/fuzz/$(1).o $(FUZZ_WITH_$(1)) $(call upto,sandbox)
	$$(call say,ld,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -fsanitize=fuzzer,address,undefined $$^ $$(SIBLING_LIBS) $$(LIBS) -o $$@
$(B)/tests/replay/$(1): $(B)/tests/fuzz/$(1).o $(B)/tests/fuzz/replay/main.o $(FUZZ_WITH_$(1)) $(call upto,sandbox)
	@mkdir -p $$(@D)
	$$(call say,ld,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(SIBLING_LIBS) $$(LIBS) -o $$@
endef
$(foreach t,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(t))))
REPLAY_BIN := $(FUZZ_NAMES:%=$(B)/tests/replay/%)

.PHONY: fuzz fuzz-run
fuzz: ## fuzz every parser for FUZZ_SECONDS each, with clang
	packaging/install-packages build lint
	$(MAKE) MODE=fuzz CC=clang-14 fuzz-run
fuzz-run: $(FUZZ_NAMES:%=$(B)/tests/fuzz/%)
	for t in $(FUZZ_NAMES); do \
		mkdir -p $(B)/corpus/$$t; \
		$(B)/tests/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -max_len=65536 \
			-artifact_prefix=$(B)/corpus/ $(B)/corpus/$$t tests/fuzz/corpus/$$t || exit 1; \
	done

# How often each kind of program is attached to in the short form, and each server.
ATTACH_TIMES ?= 4
ATTACH_FEW ?= 1

# The suites of `make check`, cheapest first. Each is one command that prints TAP; its output stays
# in $(B)/tap. A second user, who owns nothing here, runs what must work without root.
OTHER_UID ?= 12345
# Ways out that begin with a socket in hand; what begins without one is the same with handover.
HANDOVER_ATTACKS := dissolved fast_open flip_tcp swap_fd swap_connected
CHECK := VSANDBOX=$(CURDIR)/$(B)/vsandbox ATTACK_BIN=$(CURDIR)/$(B)/tests/escape \
	COMMIT_BIN=$(CURDIR)/$(B)/tests/commit \
	FIDELITY_BIN=$(CURDIR)/$(B)/tests/fidelity ROLLBACK_BIN=$(CURDIR)/$(B)/tests/rollback \
	NET_BIN=$(CURDIR)/$(B)/tests/net ATTACH_BIN=$(CURDIR)/$(B)/tests/attach OCI_BIN=$(CURDIR)/$(B)/tests/oci \
	BETWEEN=$(CURDIR)/$(BETWEEN) INSPECT=$(CURDIR)/$(B)/vsandbox-inspect
define suites
$(foreach t,$(UNIT_BIN) $(KERNEL_BIN),$(notdir $(t)) CMOCKA_MESSAGE_OUTPUT=TAP $(t)
)$(foreach t,$(FUZZ_NAMES),replay-$(t) $(B)/tests/replay/$(t) tests/fuzz/corpus/$(t)
)lint $(MAKE) -s lint-tap
$(foreach t,$(sort $(wildcard tests/cli/*.bats)),cli-$(notdir $(basename $(t))) $(CHECK) $(8) bats --tap $(t)
)wire $(CHECK) tests/wire/run.sh
escape $(CHECK) $(1) tests/escape/run.sh
delete-loop $(CHECK) tests/escape/delete_loop.sh
rollback-property $(CHECK) $(4) tests/rollback/property.py
rollback-crash $(CHECK) $(5) tests/rollback/crash.py
$(if $(filter EVERY=1,$(5)),rollback-crash-tmpfs $(CHECK) $(5) tests/commit/on_tmpfs.sh 256m tests/rollback/crash.py
)rollback-cases $(CHECK) tests/rollback/cases.py
uplink $(CHECK) tests/uplink/run.sh
control SERVE=$(CURDIR)/$(B)/vsandbox-serve tests/control/run.sh
control-faults SERVE=$(CURDIR)/$(B)/vsandbox-serve tests/control/faults.sh $(6)
sdk SERVE=$(CURDIR)/$(B)/vsandbox-serve B=$(CURDIR)/$(B) tests/sdk/run.sh
dashboard SERVE=$(CURDIR)/$(B)/vsandbox-serve tests/dashboard/run.sh
commit $(CHECK) tests/commit/run.sh $(6)
fidelity $(CHECK) tests/fidelity/run.sh
net $(CHECK) tests/net/run.sh
net-peers $(CHECK) tests/net/peers.sh
net-leak $(CHECK) tests/net/leak.sh
net-leak-handover $(CHECK) tests/net/leak.sh --handover $(HANDOVER_ATTACKS)
attach $(CHECK) tests/attach/run.sh $(7)
ci $(CHECK) tests/ci/run.sh
packaging $(CHECK) tests/packaging/run.sh
oci $(CHECK) tests/oci/run.sh --levels 0,1,2
$(if $(filter 0,$(shell id -u)),escape-user $(CHECK) ATTACK_TRIES=5000 tests/escape/run.sh --inside-only --uid $(OTHER_UID)
net-user $(CHECK) tests/net/run.sh --uid $(OTHER_UID)
net-peers-user $(CHECK) tests/net/peers.sh --uid $(OTHER_UID)
net-leak-user $(CHECK) tests/net/leak.sh --uid $(OTHER_UID)
net-leak-handover-user $(CHECK) tests/net/leak.sh --uid $(OTHER_UID) --handover $(HANDOVER_ATTACKS)
uplink-user $(CHECK) tests/uplink/run.sh --uid $(OTHER_UID)
ci-user $(CHECK) tests/ci/run.sh --uid $(OTHER_UID)
commit-user $(CHECK) tests/commit/run.sh $(6) --uid $(OTHER_UID)
fidelity-user $(CHECK) tests/fidelity/run.sh --uid $(OTHER_UID)
attach-user $(CHECK) tests/attach/run.sh $(7) --uid $(OTHER_UID)
workloads-user $(CHECK) tests/workloads/run.sh $(2) --policies "$(3)" --uid $(OTHER_UID)
)workloads $(CHECK) tests/workloads/run.sh $(2)
endef
# 10,000 tries against millions of flips in the short form, 100,000 in the long one.
export SUITES_SHORT = $(call suites,ATTACK_TRIES=10000,--timeout 600,dev,SEEDS=2 STEPS=120,EVERY=13,,--times $(ATTACH_TIMES) --few $(ATTACH_FEW),LEARN_RUNS=1)
export SUITES_LONG = $(call suites,ATTACK_LONG=1,--long,dev coding-agent observe,SEEDS=40 STEPS=300,EVERY=1,--long,--times 200 --few 200,LEARN_RUNS=3)
CHECK_NEEDS = all sdk $(UNIT_BIN) $(KERNEL_BIN) $(REPLAY_BIN) $(PROBES) $(MERGED_BIN) $(BETWEEN)

.PHONY: check check-long check-built check-long-built check-needs
check: ## install test packages, build, run every suite in its short form (< 30 min)
	packaging/install-packages build test lint
	tests/lib/reachable.sh $(OTHER_UID) $(MAKE) --no-print-directory check-built
check-long: ## the long forms: every kill of commit and rollback, more workloads and random changes (hours)
	packaging/install-packages build test lint
	tests/lib/reachable.sh $(OTHER_UID) $(MAKE) --no-print-directory check-long-built
.PHONY: check-oci
check-oci: ## containers of runc, crun, podman, containerd, buildah and Docker under the agent
	packaging/install-packages build test oci
	$(MAKE) --no-print-directory all $(call probes,tests/oci)
	$(CHECK) tests/oci/run.sh
# Under the sanitizers: what reads bytes, then whole runs. Left out is what holds memory or time
# against a figure (cli-hold).
ASAN_SUITES := cli-run cli-usage cli-rollback cli-kill cli-pause cli-sessions cli-signals cli-audit \
	cli-why cli-learn cli-policy fidelity uplink rollback-cases
.PHONY: check-asan check-asan-built
check-asan: ## unit tests, replays and whole runs under address and undefined-behaviour sanitizers
	packaging/install-packages build test
	$(MAKE) --no-print-directory MODE=asan check-asan-built
check-asan-built: check-needs
	echo "$$SUITES_SHORT" | grep -E '^ *($(subst $() ,|,$(strip $(notdir $(UNIT_BIN)) $(FUZZ_NAMES:%=replay-%)))) ' | \
		tests/lib/suites.sh $(B)/tap/parsers
	echo "$$SUITES_SHORT" | grep -E '^ *($(subst $() ,|,$(strip $(ASAN_SUITES)))) ' | \
		tests/lib/suites.sh $(B)/tap/runs
check-needs: $(CHECK_NEEDS)
check-built:
	$(MAKE) --no-print-directory -j"$$(nproc)" check-needs
	echo "$$SUITES_SHORT" | tests/lib/suites.sh $(B)/tap
check-long-built:
	$(MAKE) --no-print-directory -j"$$(nproc)" check-needs
	echo "$$SUITES_LONG" | tests/lib/suites.sh $(B)/tap

.PHONY: check-ci-runners
check-ci-runners: all ## real pipelines in the sandbox: gitlab-ci-local (from npm) and buildbot; manifests by schema
	packaging/install-packages build test runners
	$(CHECK) tests/ci/runners.sh

# As one word of a shell: the inner quotes stay for the compiler, the outer ones would end that word.
UNQUOTED_CPPFLAGS = $(subst ',,$(CPPFLAGS))

.PHONY: lint lint-tap format analyze
lint: ## formatting, shellcheck, include staircase, headers, man pages
	packaging/install-packages build lint
	$(MAKE) -s lint-tap
lint-tap:
	VSANDBOX=$(CURDIR)/$(B)/vsandbox CC="$(CC)" CPPFLAGS='$(UNQUOTED_CPPFLAGS)' CFLAGS='$(CFLAGS)' \
		tests/lint/run.sh $(FLOORS)
format: ## let clang-format write every C file
	git ls-files '*.c' '*.h' | xargs clang-format -i
analyze: ## gcc -fanalyzer, proved first on seeded defects
	CC=gcc CPPFLAGS='$(UNQUOTED_CPPFLAGS) -I/usr/include/postgresql' CFLAGS='$(CFLAGS)' \
		tests/lint/analyze.sh $(sort $(foreach f,$(FLOORS),$(call floor_src,$(f))) \
		$(foreach s,$(SIBLINGS),$(call sibling_src,$(s))))

.PHONY: bench bench-undo bench-oci demo
bench: ## ratios to native and to other launchers; BENCH=start picks rows
	packaging/install-packages build test
	$(MAKE) --no-print-directory all probes
	VSANDBOX=$(CURDIR)/$(B)/vsandbox BENCH_BIN=$(CURDIR)/$(B)/bench bench/bench.sh $(BENCH)
	$(if $(BENCH),,VSANDBOX=$(CURDIR)/$(B)/vsandbox BENCH_BIN=$(CURDIR)/$(B)/bench bench/undo.sh)
bench-undo: all probes ## what the journal, a rollback and a commit cost
	VSANDBOX=$(CURDIR)/$(B)/vsandbox BENCH_BIN=$(CURDIR)/$(B)/bench bench/undo.sh $(BENCH)
bench-oci: ## what the agent costs the start of a container
	packaging/install-packages build test oci
	$(MAKE) --no-print-directory all
	VSANDBOX=$(CURDIR)/$(B)/vsandbox bench/oci.sh
.PHONY: bench-control
bench-control: ## the control plane under load, SQLite beside PostgreSQL; ACTIONS=1000000 for the long form
	packaging/install-packages build test
	$(MAKE) --no-print-directory all
	SERVE=$(CURDIR)/$(B)/vsandbox-serve bench/control.sh
demo: ## build, then the main job on the example agent under strict
	packaging/install-packages build demo
	$(MAKE) --no-print-directory all
	VSANDBOX=$(CURDIR)/$(B)/vsandbox examples/demo.sh

.PHONY: install uninstall install-sdk compile_commands
PYTHONDIR = $(PREFIX)/lib/python3$(if $(filter /usr,$(PREFIX)),,$(shell \
	python3 -c 'import sys; print(".%d" % sys.version_info[1])'))/dist-packages
install-sdk: sdk ## install the client libraries for C and Python
	install -D -m 644 sdk/c/vsandbox.h $(DESTDIR)$(PREFIX)/include/vsandbox.h
	install -D -m 644 $(B)/libvsandbox.a $(DESTDIR)$(PREFIX)/lib/libvsandbox.a
	install -D -m 755 $(SDK_SHARED) $(DESTDIR)$(PREFIX)/lib/$(notdir $(SDK_SHARED))
	ln -sf $(notdir $(SDK_SHARED)) $(DESTDIR)$(PREFIX)/lib/$(SDK_SONAME)
	ln -sf $(SDK_SONAME) $(DESTDIR)$(PREFIX)/lib/libvsandbox.so
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' sdk/c/vsandbox.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/vsandbox.pc
	install -D -m 644 man/vsandbox-sdk.3 $(DESTDIR)$(MANDIR)/man3/vsandbox-sdk.3
	for p in vsandbox vaultak; do \
		install -d $(DESTDIR)$(PYTHONDIR)/$$p; \
		install -m 644 sdk/python/$$p/*.py $(DESTDIR)$(PYTHONDIR)/$$p/; \
	done
install: all ## install below DESTDIR PREFIX
	install -D -m 755 $(B)/vsandbox $(DESTDIR)$(PREFIX)/bin/vsandbox
	for s in $(SIBLINGS); do \
		install -D -m 755 $(B)/vsandbox-$$s $(DESTDIR)$(LIBEXEC)/vsandbox-$$s; \
	done
	for p in $(wildcard policies/*.json policies/common/*.json policies/schema/*.json); do \
		install -D -m 644 $$p $(DESTDIR)$(DATADIR)/$$p; \
	done
	for m in $(wildcard man/*.[1-8]); do \
		install -D -m 644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/}; \
	done
	packaging/install-deploy '$(DESTDIR)' '$(PREFIX)'
	for r in runc crun; do ln -sf vsandbox $(DESTDIR)$(PREFIX)/bin/vsandbox-$$r; done
uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/vsandbox $(DESTDIR)$(PREFIX)/bin/vsandbox-runc \
		$(DESTDIR)$(PREFIX)/bin/vsandbox-crun
	rm -rf $(DESTDIR)$(DATADIR) $(DESTDIR)$(LIBEXEC)
	packaging/install-deploy --remove '$(DESTDIR)' '$(PREFIX)'
	for m in $(wildcard man/*.[1-8]); do rm -f $(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/}; done
compile_commands: ## write compile_commands.json through bear
	$(MAKE) clean
	bear -- $(MAKE) all $(UNIT_BIN)

# The other machine of the table: every floor compiled, nothing linked (Debian's libraries of this
# machine are in the way), nothing run.
.PHONY: aarch64
aarch64: ## compile every floor for aarch64
	packaging/install-packages build cross
	CPPFLAGS='-idirafter /usr/include' CFLAGS='$(filter-out -fcf-protection=full,$(CFLAGS_release))' \
		$(MAKE) --no-print-directory MODE=aarch64 CC=aarch64-linux-gnu-gcc floors
.PHONY: floors
floors: $(foreach f,$(FLOORS),$(call obj,$(call floor_src,$(f)))) $(FILTER_GEN).o

.PHONY: clean
clean: ## remove build/
	rm -rf build compile_commands.json

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | sort | \
		awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
