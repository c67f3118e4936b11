/*
 * Theory of operation. libseccomp compiles every row whose answer does not
 * depend on an argument into a tree; unknown numbers get ENOSYS, a foreign
 * architecture and x32 are killed. libseccomp cannot say "this, unless that"
 * (an unconditional rule swallows the conditional ones, and there is no masked
 * not-equal), so rows with argument rules are written as a prelude in front of
 * the exported program: one compare per such row, then its rules in order, the
 * first that holds answers. Jumps are relative, so the two halves simply stand
 * one after the other. The kernel proves the constant ALLOWs of both halves once
 * at load time and afterwards does not run the program for them at all.
 */
#include "sandbox/filter_compile.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/scope.h"
#include "base/syscall_pairs.h"
#include "base/syscalls.h"
#include "sandbox/box.h"
#include "sandbox/filter_rows.h"

enum {
	PRELUDE_MAX = 2048, /* instructions; BPF_MAXINSNS is 4096 */
	BLOCK_MAX = 250,    /* of one row: conditional jumps are 8 bits */
};

struct prelude {
	struct sock_filter insns[PRELUDE_MAX];
	unsigned len;
	bool overflow;
};

static void emit(struct prelude *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (p->len == PRELUDE_MAX) {
		p->overflow = true;
		return;
	}
	p->insns[p->len++] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
}

static void emit_load(struct prelude *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static uint32_t action_value(enum how how, unsigned deny_errno)
{
	if (filter_notifies(how))
		return SECCOMP_RET_USER_NOTIF;
	if (how == HOW_ALLOW)
		return SECCOMP_RET_ALLOW;
	if (how == HOW_KILL)
		return SECCOMP_RET_KILL_PROCESS;
	return SECCOMP_RET_ERRNO | (how == HOW_ERRNO ? deny_errno & SECCOMP_RET_DATA : ENOSYS);
}

/* seccomp_data.args are 64 bits; the kernel's int arguments are the low half. */
static size_t arg_offset(unsigned arg, bool high)
{
	bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
	return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) +
	       (high == little ? sizeof(uint32_t) : 0);
}

/* One rule: falls through to the next instruction when it does not hold. */
static void emit_rule(struct prelude *p, const struct arg_rule *r, uint32_t ret)
{
	emit_load(p, arg_offset(r->arg, false));
	emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, (uint32_t)r->mask);
	if (!r->wide) {
		uint8_t skip_eq = r->negate ? 1 : 0, skip_ne = r->negate ? 0 : 1;
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, skip_eq, skip_ne, (uint32_t)r->datum);
	} else if (!r->negate) { /* both halves equal */
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, (uint32_t)r->datum);
		emit_load(p, arg_offset(r->arg, true));
		emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, (uint32_t)(r->mask >> 32));
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)(r->datum >> 32));
	} else { /* either half differs */
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, (uint32_t)r->datum);
		emit_load(p, arg_offset(r->arg, true));
		emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, (uint32_t)(r->mask >> 32));
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (uint32_t)(r->datum >> 32));
	}
	emit(p, BPF_RET | BPF_K, 0, 0, ret);
}

static void emit_equal(struct prelude *p, uint32_t value, uint32_t ret)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
	emit(p, BPF_RET | BPF_K, 0, 0, ret);
}

/* The pairs that pass; refused is what is none of them. */
static int emit_pairs(struct prelude *p, const struct filter_row *row)
{
	const uint32_t pass = action_value(row->how, 0);
	const uint32_t refuse = action_value(HOW_ERRNO, row->deny_errno);
	const struct arg_pair *a = row->pairs;
	emit_load(p, arg_offset(1, false));
	while (a->first != SYSCALL_PAIR_END) {
		const uint16_t first = a->first;
		if (a->second == SYSCALL_PAIR_ANY) {
			emit_equal(p, first, pass);
			a++;
			continue;
		}
		unsigned start = p->len;
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, first); /* jf patched below */
		emit_load(p, arg_offset(2, false));
		for (; a->first == first; a++)
			emit_equal(p, a->second, pass);
		emit(p, BPF_RET | BPF_K, 0, 0, refuse);
		if (p->overflow || p->len - start - 1 > BLOCK_MAX)
			return -E2BIG;
		p->insns[start].jf = (uint8_t)(p->len - start - 1);
	}
	emit(p, BPF_RET | BPF_K, 0, 0, refuse);
	return 0;
}

static int emit_row(struct prelude *p, uint32_t nr, const struct filter_row *row)
{
	unsigned start = p->len;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, nr); /* jf patched below */
	for (unsigned i = 0; i < row->count; i++)
		emit_rule(p, &row->rules[i],
			  action_value(row->rules[i].how, row->rules[i].deny_errno));
	if (!row->pairs)
		emit(p, BPF_RET | BPF_K, 0, 0, action_value(row->how, row->deny_errno));
	else if (emit_pairs(p, row) < 0)
		return -E2BIG;
	unsigned block = p->len - start - 1;
	if (p->overflow || block > BLOCK_MAX)
		return -E2BIG;
	p->insns[start].jf = (uint8_t)block;
	return 0;
}

static uint32_t scmp_action(uint32_t ret)
{
	switch (ret & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return SCMP_ACT_ALLOW;
	case SECCOMP_RET_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case SECCOMP_RET_USER_NOTIF:
		return SCMP_ACT_NOTIFY;
	default:
		return SCMP_ACT_ERRNO(ret & SECCOMP_RET_DATA);
	}
}

/* Reads a whole exported program back from libseccomp's descriptor. */
static int read_program(int fd, struct sock_filter **ret, size_t *ret_count)
{
	off_t size = lseek(fd, 0, SEEK_END);
	if (size <= 0 || size % (off_t)sizeof(struct sock_filter))
		return -EINVAL;
	cleanup_free struct sock_filter *insns = malloc((size_t)size);
	if (!insns)
		return -ENOMEM;
	if (pread(fd, insns, (size_t)size, 0) != size)
		return -EIO;
	*ret_count = (size_t)size / sizeof(struct sock_filter);
	*ret = take_ptr(insns);
	return 0;
}

static int add_plain_rows(scmp_filter_ctx ctx, const struct box_plan *plan, struct prelude *p,
			  struct err *err)
{
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		struct filter_row row;
		if (!filter_row(plan, nr, &row))
			continue; /* falls to the default: ENOSYS */
		if (row.count || row.pairs) {
			int r = emit_row(p, nr, &row);
			if (r < 0)
				return err_set(err, -r, "filter: too many conditions in row %s",
					       syscall_find(nr)->name);
			continue;
		}
		uint32_t action = scmp_action(action_value(row.how, row.deny_errno));
		if (action == SCMP_ACT_ERRNO(ENOSYS))
			continue; /* libseccomp refuses a rule equal to its default */
		int r = seccomp_rule_add_exact(ctx, action, (int)nr, 0);
		if (r < 0)
			return err_sys(err, -r, "filter: row %s", syscall_find(nr)->name);
	}
	return 0;
}

static void release_ctx(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

struct box_plan filter_plan(size_t shape)
{
	static const struct policy_pattern any = { .name = NULL };
	static const struct policy handing_over = {
		.handover = { .items = (struct policy_pattern *)(uintptr_t)&any, .count = 1 }
	};
	bool hands_over = shape / 4 == NET_COUNT;
	return (struct box_plan){ .net = hands_over ? NET_ALLOWLIST : (enum policy_net)(shape / 4),
				  .policy = hands_over ? &handing_over : NULL,
				  .allow_ptrace = shape & 2,
				  .read_events = shape & 1 };
}

int filter_compile(const struct box_plan *plan, struct sock_filter **ret, size_t *ret_count,
		   struct err *err)
{
	__attribute__((cleanup(release_ctx))) scmp_filter_ctx ctx =
		seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	cleanup_free struct prelude *p = calloc(1, sizeof(*p));
	if (!ctx || !p)
		return err_set(err, ENOMEM, "filter: out of memory");
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: fast to load as well */

	/* Another ABI has other numbers: the prelude must not read them, the program kills them. */
	emit_load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, filter_arch);
	emit(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
	emit_load(p, offsetof(struct seccomp_data, nr));
	int r = add_plain_rows(ctx, plan, p, err);
	if (r < 0)
		return r;

	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "filter: memfd_create");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return err_sys(err, -r, "filter: libseccomp could not export the program");
	cleanup_free struct sock_filter *tree = NULL;
	size_t tree_len = 0;
	r = read_program(fd, &tree, &tree_len);
	if (r < 0)
		return err_sys(err, -r, "filter: exported program");
	size_t total = p->len + tree_len;
	if (total > BPF_MAXINSNS)
		return err_set(err, E2BIG, "filter: %zu instructions", total);
	struct sock_filter *all = malloc(total * sizeof(*all));
	if (!all)
		return err_set(err, ENOMEM, "filter: out of memory");
	memcpy(all, p->insns, p->len * sizeof(*all));
	memcpy(all + p->len, tree, tree_len * sizeof(*all));
	*ret = all;
	*ret_count = total;
	return 0;
}
