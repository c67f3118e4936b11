/*
 * THE table. A row says what a call takes, what it is to a policy, how it is
 * undone, how it is carried out, and why.
 *
 * Theory of operation: a call is notified only when a decision needs what its
 * pointers hold, and then it is never continued on that memory: the monitor
 * copies, decides on the copy, and acts on the copy (HOW_EMULATE, HOW_OPEN).
 * All else is decided by registers, in the filter, for nothing. What has no row
 * does not exist: ENOSYS.
 *
 * Rows stand by family, not by number, because a family shares its reasons; the
 * compiler puts each where it belongs and refuses two for one number. Legacy
 * calls that aarch64 never had are fenced by #ifdef.
 */
#include "base/syscalls.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/kernel.h"

/* clang-format off */

/* Conditions on one argument; ints are compared by their low 32 bits, as the kernel reads them. */
#define LOW32 UINT64_C(0xffffffff)
#define IF_MASKED(arg_, mask_, value_, how_, errno_) \
	{ .arg = (arg_), .set = 1, .how = (how_), .deny_errno = (errno_), \
	  .mask = (mask_), .datum = (value_) }
#define IF_EQUAL(arg_, value_, how_, errno_) IF_MASKED(arg_, LOW32, value_, how_, errno_)
#define IF_NOT_MASKED(arg_, mask_, value_, how_, errno_) \
	{ .arg = (arg_), .set = 1, .negate = 1, .how = (how_), .deny_errno = (errno_), \
	  .mask = (mask_), .datum = (value_) }
#define IF_ANY_BIT(arg_, bits_, how_, errno_) IF_NOT_MASKED(arg_, bits_, 0, how_, errno_)
#define IF_NULL(arg_, how_) \
	{ .arg = (arg_), .set = 1, .wide = 1, .how = (how_), .mask = UINT64_MAX, .datum = 0 }

#define ALLOWED(call_, note_, ...) \
	[__NR_##call_] = { .name = #call_, .args = { __VA_ARGS__ }, .how = HOW_ALLOW, .note = note_ }
#define REFUSED(call_, errno_, note_, ...) \
	[__NR_##call_] = { .name = #call_, .args = { __VA_ARGS__ }, .how = HOW_ERRNO, \
			   .deny_errno = (errno_), .note = note_ }

/* Namespaces clone(2) can make. CLONE_NEWTIME lies in its exit signal, so only unshare tests it. */
#define CLONE_NEW_ANY \
	((unsigned)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		    CLONE_NEWPID | CLONE_NEWNET))

#define PERSONALITY_LINUX32 0x0008
#define PERSONALITY_NO_RANDOMIZE 0x0040000
#define PERSONALITY_QUERY 0xffffffff

/* Low bits of a socket type; the rest are SOCK_CLOEXEC and SOCK_NONBLOCK. */
#define SOCKET_TYPE 0xf
/* Of the types only STREAM (1), DGRAM (2) and RAW (3) have neither of these bits. */
#define SOCKET_TYPE_ODD 0xc
/* IP, ICMP, TCP, UDP and ICMPv6 have none of these; L2TP, SCTP, SMC, MPTCP do (UDPLITE too, and is harmless). */
#define PROTOCOL_ODD (LOW32 & ~UINT64_C(0x3f))
/* AF_INET and AF_INET6 differ in this bit alone. */
#define FAMILY_INET6_BIT UINT64_C(8)
_Static_assert((AF_INET6 & ~(int)FAMILY_INET6_BIT) == AF_INET, "one masked compare finds both");

/* Reasons that a family shares. */
#define BY_FD \
	"works on a descriptor, which was decided when it was opened"
#define BY_FD_JOURNALED \
	"changes through a descriptor; the open for writing was decided and journaled"
#define META_BY_FD \
	"a descriptor that only reads is enough for it, so no open has decided or journaled it"
#define NAMES_ONLY \
	"reads names and metadata; what must stay hidden is not mounted in the box, and a stop " \
	"here would cost the hottest calls"
#define OWN_MEMORY \
	"concerns only memory of the caller"
#define OWN_TASK \
	"concerns only the caller"
#define OWN_SIGNALS \
	"stopping signal calls would itself make spurious EINTR"
#define OWN_PIDS \
	"reaches no task outside the pid namespace of the sandbox"
#define OWN_IPC \
	"the objects live in the IPC namespace of the sandbox"
#define OWN_NET \
	"the socket exists already, and the private network namespace bounds it"
#define CLOCK_READ \
	"reads a clock or sleeps"
#define NEVER_STOP \
	"a signal that comes before the monitor has received would fail it with EINTR, which " \
	"it never gives natively"
#define WAITS \
	"waits for something that was decided already; a stop here would only make it slow"
#define MOUNT_TREE \
	"a changed mount tree would change what every decided path means"
#define NEW_MOUNT_API \
	"ENOSYS makes mount(8) and libmount fall back to mount(2), which is refused by name"
#define FOREIGN_MEMORY \
	"would rewrite memory or take descriptors of another task behind the decision; " \
	"--allow-ptrace lifts the ptrace family"
#define WHOLE_HOST \
	"changes the host itself, not the sandbox"
#define KERNEL_SURFACE \
	"privileged kernel interface with a long record of escapes; no build or agent needs it"
#define KEYRING \
	"keyrings are not confined by a namespace"
#define IO_URING \
	"its operations pass by seccomp; libuv and tokio fall back to plain calls"
#define CREDENTIALS \
	"register-only change, continued; the monitor must re-read the identities it acts with"
#define REMOVED \
	"no longer or never implemented by the kernel"
#define PINNED \
	"the name is resolved once, in the monitor, and the call is made on the pinned parent"
#define PINNED_INODE \
	"made on the inode that was resolved and decided, not on the name"
#define PINNED_DIRECTORY \
	"the directory is pinned by the kernel, and later relative names are resolved from it"
#define OTHER_ROOT \
	"would give every later absolute name another meaning"
#define LEADS_NOWHERE \
	"makes descriptors that lead nowhere outside the sandbox"
#define ASYNC_IO \
	"asynchronous reads and writes on decided descriptors; unlike io_uring it opens " \
	"nothing"
#define LOWERS_ONLY \
	"a hard limit can only be lowered without CAP_SYS_RESOURCE, and the cgroup limits " \
	"stand above"
#define NARROWS_ITSELF \
	"a program may narrow itself"
#define HOST_CLOCK \
	"the clock belongs to the host; reading it has other calls"
#define UPROBE \
	"refusing it would kill a program that the administrator traces from outside"
#define ARRIVES \
	"what arrives was decided when the connection was made"
#define OWN_MOUNTS \
	"shows mounts of the own mount namespace, as /proc/self/mountinfo does"
#define OWN_LABELS \
	"reports the labels of the caller"

static const struct syscall_row rows[] = {
	/* Files by name: opened by the monitor, the descriptor is put into the caller */
#ifdef __NR_open
	[__NR_open] = {
		.name = "open", .type = ACTION_FILE_READ, .op = OP_READ,
		.args = { ARG_PATH, ARG_OFLAGS, ARG_MODE },
		.undo = UNDO_OPEN, .how = HOW_OPEN,
		.note = "the name could be swapped after the check, so the monitor opens what "
			"it has checked and injects it; type and effect follow the flags",
	},
#endif
	[__NR_openat] = {
		.name = "openat", .type = ACTION_FILE_READ, .op = OP_READ,
		.args = { ARG_DIRFD, ARG_PATH, ARG_OFLAGS, ARG_MODE },
		.undo = UNDO_OPEN, .how = HOW_OPEN,
		.note = "as open; the directory descriptor is looked up in the table of the "
			"calling thread",
	},
	[__NR_openat2] = {
		.name = "openat2", .type = ACTION_FILE_READ, .op = OP_READ,
		.args = { ARG_DIRFD, ARG_PATH, ARG_OPENHOW, ARG_SIZE },
		.undo = UNDO_OPEN, .how = HOW_OPEN,
		.note = "open_how is copied once and its RESOLVE flags are kept; an unknown "
			"size or flag fails as it does natively",
	},
#ifdef __NR_creat
	[__NR_creat] = {
		.name = "creat", .type = ACTION_FILE_WRITE, .op = OP_CREATE,
		.args = { ARG_PATH, ARG_MODE },
		.undo = UNDO_OPEN, .how = HOW_OPEN,
		.note = "open with O_CREAT|O_WRONLY|O_TRUNC",
	},
#endif

	/* Files by name: the same call, made by the monitor on its copies */
#ifdef __NR_unlink
	[__NR_unlink] = {
		.name = "unlink", .type = ACTION_FILE_DELETE, .op = OP_DELETE,
		.args = { ARG_PATH },
		.undo = UNDO_UNLINK, .how = HOW_EMULATE,
		.note = PINNED,
	},
#endif
	[__NR_unlinkat] = {
		.name = "unlinkat", .type = ACTION_FILE_DELETE, .op = OP_DELETE,
		.args = { ARG_DIRFD, ARG_PATH, ARG_ATFLAGS },
		.undo = UNDO_UNLINK, .how = HOW_EMULATE,
		.note = "as unlink, or as rmdir with AT_REMOVEDIR, and the journal follows "
			"that flag",
	},
#ifdef __NR_rmdir
	[__NR_rmdir] = {
		.name = "rmdir", .type = ACTION_FILE_DELETE, .op = OP_DELETE,
		.args = { ARG_PATH },
		.undo = UNDO_RMDIR, .how = HOW_EMULATE,
		.note = PINNED,
	},
#endif
#ifdef __NR_mkdir
	[__NR_mkdir] = {
		.name = "mkdir", .type = ACTION_FILE_WRITE, .op = OP_MKDIR,
		.args = { ARG_PATH, ARG_MODE },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = PINNED,
	},
#endif
	[__NR_mkdirat] = {
		.name = "mkdirat", .type = ACTION_FILE_WRITE, .op = OP_MKDIR,
		.args = { ARG_DIRFD, ARG_PATH, ARG_MODE },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = PINNED,
	},
#ifdef __NR_rename
	[__NR_rename] = {
		.name = "rename", .type = ACTION_FILE_WRITE, .op = OP_RENAME,
		.args = { ARG_PATH, ARG_PATH },
		.undo = UNDO_RENAME, .how = HOW_EMULATE,
		.note = "both parents are pinned before the verdict; EXDEV of an overlay "
			"directory is repaired by copying up, which only an emulation can do",
	},
#endif
	[__NR_renameat] = {
		.name = "renameat", .type = ACTION_FILE_WRITE, .op = OP_RENAME,
		.args = { ARG_DIRFD, ARG_PATH, ARG_DIRFD, ARG_PATH },
		.undo = UNDO_RENAME, .how = HOW_EMULATE,
		.note = "both parents are pinned before the verdict; EXDEV of an overlay "
			"directory is repaired by copying up, which only an emulation can do",
	},
	[__NR_renameat2] = {
		.name = "renameat2", .type = ACTION_FILE_WRITE, .op = OP_RENAME,
		.args = { ARG_DIRFD, ARG_PATH, ARG_DIRFD, ARG_PATH, ARG_ATFLAGS },
		.undo = UNDO_RENAME, .how = HOW_EMULATE,
		.note = "both parents are pinned before the verdict; EXDEV of an overlay "
			"directory is repaired by copying up, which only an emulation can do; "
			"RENAME_EXCHANGE changes two names",
	},
#ifdef __NR_link
	[__NR_link] = {
		.name = "link", .type = ACTION_FILE_WRITE, .op = OP_LINK,
		.args = { ARG_PATH, ARG_PATH },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = "a second name could lift a protected file out of its pattern, so both "
			"names are decided",
	},
#endif
	[__NR_linkat] = {
		.name = "linkat", .type = ACTION_FILE_WRITE, .op = OP_LINK,
		.args = { ARG_DIRFD, ARG_PATH, ARG_DIRFD, ARG_PATH, ARG_ATFLAGS },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = "a second name could lift a protected file out of its pattern, so both "
			"names are decided; AT_EMPTY_PATH names the descriptor",
	},
#ifdef __NR_symlink
	[__NR_symlink] = {
		.name = "symlink", .type = ACTION_FILE_WRITE, .op = OP_SYMLINK,
		.args = { ARG_TARGET, ARG_PATH },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = "only the new name is resolved, the text of a link is not a path until "
			"somebody follows it",
	},
#endif
	[__NR_symlinkat] = {
		.name = "symlinkat", .type = ACTION_FILE_WRITE, .op = OP_SYMLINK,
		.args = { ARG_TARGET, ARG_DIRFD, ARG_PATH },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.note = "only the new name is resolved, the text of a link is not a path until "
			"somebody follows it",
	},
#ifdef __NR_mknod
	[__NR_mknod] = {
		.name = "mknod", .type = ACTION_FILE_WRITE, .op = OP_MKNOD,
		.args = { ARG_PATH, ARG_MODE, ARG_DEV },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.rules = {
			IF_MASKED(1, S_IFMT, S_IFCHR, HOW_ERRNO, EPERM),
			IF_MASKED(1, S_IFMT, S_IFBLK, HOW_ERRNO, EPERM),
		},
		.note = "devices are refused in the filter, a 0:0 node would be a whiteout to "
			"the overlay; FIFOs, sockets and files are made on the pinned parent",
	},
#endif
	[__NR_mknodat] = {
		.name = "mknodat", .type = ACTION_FILE_WRITE, .op = OP_MKNOD,
		.args = { ARG_DIRFD, ARG_PATH, ARG_MODE, ARG_DEV },
		.undo = UNDO_MAKE, .how = HOW_EMULATE,
		.rules = {
			IF_MASKED(2, S_IFMT, S_IFCHR, HOW_ERRNO, EPERM),
			IF_MASKED(2, S_IFMT, S_IFBLK, HOW_ERRNO, EPERM),
		},
		.note = "devices are refused in the filter, a 0:0 node would be a whiteout to "
			"the overlay; FIFOs, sockets and files are made on the pinned parent",
	},
	[__NR_truncate] = {
		.name = "truncate", .type = ACTION_FILE_WRITE, .op = OP_TRUNCATE,
		.args = { ARG_PATH, ARG_SIZE },
		.undo = UNDO_CONTENT, .how = HOW_EMULATE,
		.note = "destroys content by name, with no open to decide on",
	},
#ifdef __NR_chmod
	[__NR_chmod] = {
		.name = "chmod", .type = ACTION_FILE_WRITE, .op = OP_CHMOD,
		.args = { ARG_PATH, ARG_MODE },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#endif
	[__NR_fchmodat] = {
		.name = "fchmodat", .type = ACTION_FILE_WRITE, .op = OP_CHMOD,
		.args = { ARG_DIRFD, ARG_PATH, ARG_MODE },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
	[__NR_fchmodat2] = {
		.name = "fchmodat2", .type = ACTION_FILE_WRITE, .op = OP_CHMOD,
		.args = { ARG_DIRFD, ARG_PATH, ARG_MODE, ARG_ATFLAGS },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "as fchmodat, with flags since 6.6; AT_EMPTY_PATH names the descriptor",
	},
#ifdef __NR_chown
	[__NR_chown] = {
		.name = "chown", .type = ACTION_FILE_WRITE, .op = OP_CHOWN,
		.args = { ARG_PATH, ARG_UID, ARG_GID },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#endif
#ifdef __NR_lchown
	[__NR_lchown] = {
		.name = "lchown", .type = ACTION_FILE_WRITE, .op = OP_CHOWN,
		.args = { ARG_PATH, ARG_UID, ARG_GID },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#endif
	[__NR_fchownat] = {
		.name = "fchownat", .type = ACTION_FILE_WRITE, .op = OP_CHOWN,
		.args = { ARG_DIRFD, ARG_PATH, ARG_UID, ARG_GID, ARG_ATFLAGS },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#ifdef __NR_utime
	[__NR_utime] = {
		.name = "utime", .type = ACTION_FILE_WRITE, .op = OP_UTIME,
		.args = { ARG_PATH, ARG_UTIMBUF },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#endif
#ifdef __NR_utimes
	[__NR_utimes] = {
		.name = "utimes", .type = ACTION_FILE_WRITE, .op = OP_UTIME,
		.args = { ARG_PATH, ARG_TIMEVALS },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = PINNED_INODE,
	},
#endif
#ifdef __NR_futimesat
	[__NR_futimesat] = {
		.name = "futimesat", .type = ACTION_FILE_WRITE, .op = OP_UTIME,
		.args = { ARG_DIRFD, ARG_PATH, ARG_TIMEVALS },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "made on the decided inode; a NULL path means the descriptor itself, which "
			"need not be open for writing",
	},
#endif
	[__NR_utimensat] = {
		.name = "utimensat", .type = ACTION_FILE_WRITE, .op = OP_UTIME,
		.args = { ARG_DIRFD, ARG_PATH, ARG_TIMESPECS, ARG_ATFLAGS },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "made on the decided inode; a NULL path means the descriptor itself, which "
			"need not be open for writing",
	},
	[__NR_setxattr] = {
		.name = "setxattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_PATH, ARG_XATTR_NAME, ARG_XATTR_VALUE, ARG_SIZE, ARG_INT },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below",
	},
	[__NR_lsetxattr] = {
		.name = "lsetxattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_PATH, ARG_XATTR_NAME, ARG_XATTR_VALUE, ARG_SIZE, ARG_INT },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below",
	},
	[__NR_setxattrat] = {
		.name = "setxattrat", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_XATTR_NAME, ARG_XATTR_ARGS, ARG_SIZE },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below; a NULL path is the descriptor itself",
	},
	[__NR_removexattr] = {
		.name = "removexattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_PATH, ARG_XATTR_NAME },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below",
	},
	[__NR_lremovexattr] = {
		.name = "lremovexattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_PATH, ARG_XATTR_NAME },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below",
	},
	[__NR_removexattrat] = {
		.name = "removexattrat", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_XATTR_NAME },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides too: trusted.* and overlay marks would "
			"speak to the overlay below; a NULL path is the descriptor itself",
	},

	/* Files by name: looked at, not changed */
#ifdef __NR_stat
	ALLOWED(stat, NAMES_ONLY, ARG_PATH, ARG_POINTER),
#endif
#ifdef __NR_lstat
	ALLOWED(lstat, NAMES_ONLY, ARG_PATH, ARG_POINTER),
#endif
	ALLOWED(newfstatat, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_POINTER, ARG_ATFLAGS),
	ALLOWED(statx, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_INT, ARG_POINTER),
#ifdef __NR_access
	ALLOWED(access, NAMES_ONLY, ARG_PATH, ARG_INT),
#endif
	ALLOWED(faccessat, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_INT),
	ALLOWED(faccessat2, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_INT, ARG_ATFLAGS),
#ifdef __NR_readlink
	ALLOWED(readlink, NAMES_ONLY, ARG_PATH, ARG_POINTER, ARG_SIZE),
#endif
	ALLOWED(readlinkat, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_POINTER, ARG_SIZE),
	ALLOWED(statfs, NAMES_ONLY, ARG_PATH, ARG_POINTER),
	ALLOWED(getxattr, NAMES_ONLY, ARG_PATH, ARG_XATTR_NAME, ARG_POINTER, ARG_SIZE),
	ALLOWED(lgetxattr, NAMES_ONLY, ARG_PATH, ARG_XATTR_NAME, ARG_POINTER, ARG_SIZE),
	ALLOWED(getxattrat, NAMES_ONLY,
		ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_XATTR_NAME, ARG_POINTER, ARG_SIZE),
	ALLOWED(listxattr, NAMES_ONLY, ARG_PATH, ARG_POINTER, ARG_SIZE),
	ALLOWED(llistxattr, NAMES_ONLY, ARG_PATH, ARG_POINTER, ARG_SIZE),
	ALLOWED(listxattrat, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_POINTER, ARG_SIZE),
	ALLOWED(file_getattr, NAMES_ONLY, ARG_DIRFD, ARG_PATH, ARG_POINTER, ARG_SIZE, ARG_ATFLAGS),
	ALLOWED(inotify_add_watch, NAMES_ONLY, ARG_FD, ARG_PATH, ARG_INT),
	REFUSED(file_setattr, ENOSYS,
		"sets inode flags by path and is newer than any tool that needs it; chattr falls "
		"back to its ioctl",
		ARG_DIRFD, ARG_PATH, ARG_POINTER, ARG_SIZE, ARG_ATFLAGS),
	ALLOWED(chdir, PINNED_DIRECTORY, ARG_PATH),
	ALLOWED(fchdir, PINNED_DIRECTORY, ARG_FD),
	ALLOWED(getcwd, OWN_TASK, ARG_POINTER, ARG_SIZE),
	[__NR_umask] = {
		.name = "umask", .args = { ARG_MODE }, .how = HOW_CREDS,
		.note = "register-only change, continued; the monitor creates files with the "
			"caller's mask and must not remember the old one",
	},
	REFUSED(chroot, EPERM, OTHER_ROOT, ARG_PATH),
	REFUSED(pivot_root, EPERM, OTHER_ROOT, ARG_PATH, ARG_PATH),
	REFUSED(open_by_handle_at, EPERM,
		"a handle opens an inode with no path to decide on",
		ARG_FD, ARG_POINTER, ARG_OFLAGS),
	REFUSED(name_to_handle_at, EOPNOTSUPP,
		"handles cannot be opened here; EOPNOTSUPP is what a file system without them "
		"says, and callers expect it",
		ARG_DIRFD, ARG_PATH, ARG_POINTER, ARG_POINTER, ARG_ATFLAGS),

	/* Files by descriptor */
	ALLOWED(write, BY_FD_JOURNALED, ARG_FD, ARG_BYTES, ARG_SIZE),
	ALLOWED(pwrite64, BY_FD_JOURNALED, ARG_FD, ARG_BYTES, ARG_SIZE, ARG_INT),
	ALLOWED(writev, BY_FD_JOURNALED, ARG_FD, ARG_POINTER, ARG_INT),
	ALLOWED(pwritev, BY_FD_JOURNALED, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(pwritev2, BY_FD_JOURNALED, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(ftruncate, BY_FD_JOURNALED, ARG_FD, ARG_SIZE),
	ALLOWED(fallocate, BY_FD_JOURNALED, ARG_FD, ARG_INT, ARG_INT, ARG_SIZE),
	[__NR_fchmod] = {
		.name = "fchmod", .type = ACTION_FILE_WRITE, .op = OP_CHMOD,
		.args = { ARG_FD, ARG_MODE },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = META_BY_FD,
	},
	[__NR_fchown] = {
		.name = "fchown", .type = ACTION_FILE_WRITE, .op = OP_CHOWN,
		.args = { ARG_FD, ARG_UID, ARG_GID },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = META_BY_FD,
	},
	[__NR_fsetxattr] = {
		.name = "fsetxattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_FD, ARG_XATTR_NAME, ARG_XATTR_VALUE, ARG_SIZE, ARG_INT },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = "the attribute name decides: marks of an overlay must not be forged, and "
			"the name lies in memory",
	},
	[__NR_fremovexattr] = {
		.name = "fremovexattr", .type = ACTION_FILE_WRITE, .op = OP_XATTR,
		.args = { ARG_FD, ARG_XATTR_NAME },
		.undo = UNDO_META, .how = HOW_EMULATE,
		.note = META_BY_FD,
	},
	ALLOWED(copy_file_range, BY_FD_JOURNALED,
		ARG_FD, ARG_POINTER, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(sendfile, BY_FD_JOURNALED, ARG_FD, ARG_FD, ARG_POINTER, ARG_SIZE),
	ALLOWED(splice, BY_FD_JOURNALED,
		ARG_FD, ARG_POINTER, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(read, BY_FD, ARG_FD, ARG_POINTER, ARG_SIZE),
	ALLOWED(pread64, BY_FD, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(readv, BY_FD, ARG_FD, ARG_POINTER, ARG_INT),
	ALLOWED(preadv, BY_FD, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(preadv2, BY_FD, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(lseek, BY_FD, ARG_FD, ARG_INT, ARG_INT),
	ALLOWED(fstat, BY_FD, ARG_FD, ARG_POINTER),
	ALLOWED(fstatfs, BY_FD, ARG_FD, ARG_POINTER),
#ifdef __NR_getdents
	ALLOWED(getdents, BY_FD, ARG_FD, ARG_POINTER, ARG_SIZE),
#endif
	ALLOWED(getdents64, BY_FD, ARG_FD, ARG_POINTER, ARG_SIZE),
	ALLOWED(fgetxattr, BY_FD, ARG_FD, ARG_XATTR_NAME, ARG_POINTER, ARG_SIZE),
	ALLOWED(flistxattr, BY_FD, ARG_FD, ARG_POINTER, ARG_SIZE),
	ALLOWED(fcntl, BY_FD, ARG_FD, ARG_INT, ARG_INT),
	ALLOWED(flock, BY_FD, ARG_FD, ARG_INT),
	ALLOWED(fsync, BY_FD, ARG_FD),
	ALLOWED(fdatasync, BY_FD, ARG_FD),
	ALLOWED(syncfs, BY_FD, ARG_FD),
	ALLOWED(sync_file_range, BY_FD, ARG_FD, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(readahead, BY_FD, ARG_FD, ARG_INT, ARG_SIZE),
	ALLOWED(fadvise64, BY_FD, ARG_FD, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(cachestat, BY_FD, ARG_FD, ARG_POINTER, ARG_POINTER, ARG_INT),
	ALLOWED(tee, BY_FD, ARG_FD, ARG_FD, ARG_SIZE, ARG_INT),
	ALLOWED(vmsplice, BY_FD, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT),
	ALLOWED(sync, "flushes file systems and changes nothing in them", ARG_NONE),
#ifdef __NR_ustat
	ALLOWED(ustat,
		"reports figures of a mounted file system, and takes a device number, not a name",
		ARG_INT, ARG_POINTER),
#endif
#ifdef __NR_sysfs
	ALLOWED(sysfs, "lists file system types", ARG_INT, ARG_INT, ARG_INT),
#endif
	[__NR_ioctl] = {
		.name = "ioctl",
		.args = { ARG_FD, ARG_INT, ARG_POINTER },
		.how = HOW_ALLOW,
		.rules = {
			IF_EQUAL(1, TIOCSTI, HOW_ERRNO, EPERM),
			IF_EQUAL(1, TIOCLINUX, HOW_ERRNO, EPERM),
			IF_EQUAL(1, TIOCCONS, HOW_ERRNO, EPERM),
		},
		.note = "acts on a decided descriptor, except three that type into or take "
			"over a terminal (CVE-2017-5226)",
	},
	ALLOWED(close, NEVER_STOP, ARG_FD),
	ALLOWED(close_range, NEVER_STOP, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(dup, NEVER_STOP, ARG_FD),
#ifdef __NR_dup2
	ALLOWED(dup2, NEVER_STOP, ARG_FD, ARG_INT),
#endif
	ALLOWED(dup3, NEVER_STOP, ARG_FD, ARG_INT, ARG_OFLAGS),
#ifdef __NR_pipe
	ALLOWED(pipe, LEADS_NOWHERE, ARG_POINTER),
#endif
	ALLOWED(pipe2, LEADS_NOWHERE, ARG_POINTER, ARG_OFLAGS),
#ifdef __NR_eventfd
	ALLOWED(eventfd, LEADS_NOWHERE, ARG_INT),
#endif
	ALLOWED(eventfd2, LEADS_NOWHERE, ARG_INT, ARG_INT),
#ifdef __NR_signalfd
	ALLOWED(signalfd, LEADS_NOWHERE, ARG_FD, ARG_POINTER, ARG_SIZE),
#endif
	ALLOWED(signalfd4, LEADS_NOWHERE, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(timerfd_create, LEADS_NOWHERE, ARG_INT, ARG_INT),
#ifdef __NR_epoll_create
	ALLOWED(epoll_create, LEADS_NOWHERE, ARG_INT),
#endif
	ALLOWED(epoll_create1, LEADS_NOWHERE, ARG_INT),
#ifdef __NR_inotify_init
	ALLOWED(inotify_init, LEADS_NOWHERE, ARG_NONE),
#endif
	ALLOWED(inotify_init1, LEADS_NOWHERE, ARG_INT),
	ALLOWED(memfd_create,
		"an unnamed file; running it is decided by execveat, writing it harms nobody",
		ARG_POINTER, ARG_INT),
	ALLOWED(timerfd_settime, BY_FD, ARG_FD, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(timerfd_gettime, BY_FD, ARG_FD, ARG_POINTER),
	ALLOWED(epoll_ctl, BY_FD, ARG_FD, ARG_INT, ARG_FD, ARG_POINTER),
	ALLOWED(inotify_rm_watch, BY_FD, ARG_FD, ARG_INT),
#ifdef __NR_poll
	ALLOWED(poll, WAITS, ARG_POINTER, ARG_INT, ARG_INT),
#endif
	ALLOWED(ppoll, WAITS, ARG_POINTER, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_SIZE),
#ifdef __NR_select
	ALLOWED(select, WAITS, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_POINTER),
#endif
	ALLOWED(pselect6, WAITS,
		ARG_INT, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_POINTER),
#ifdef __NR_epoll_wait
	ALLOWED(epoll_wait, WAITS, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT),
#endif
	ALLOWED(epoll_pwait, WAITS, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_POINTER, ARG_SIZE),
	ALLOWED(epoll_pwait2, WAITS,
		ARG_FD, ARG_POINTER, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_SIZE),
	ALLOWED(io_setup, ASYNC_IO, ARG_INT, ARG_POINTER),
	ALLOWED(io_destroy, ASYNC_IO, ARG_INT),
	ALLOWED(io_submit, ASYNC_IO, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(io_cancel, ASYNC_IO, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(io_getevents, ASYNC_IO, ARG_INT, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(io_pgetevents, ASYNC_IO,
		ARG_INT, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_POINTER),
	REFUSED(io_uring_setup, ENOSYS, IO_URING, ARG_INT, ARG_POINTER),
	REFUSED(io_uring_enter, ENOSYS, IO_URING,
		ARG_FD, ARG_INT, ARG_INT, ARG_INT, ARG_POINTER, ARG_SIZE),
	REFUSED(io_uring_register, ENOSYS, IO_URING, ARG_FD, ARG_INT, ARG_POINTER, ARG_INT),

	/* Programs and processes */
	[__NR_execve] = {
		.name = "execve", .type = ACTION_CODE_EXECUTION, .op = OP_EXEC,
		.args = { ARG_PATH, ARG_ARGV, ARG_ENVP },
		.how = HOW_EXEC,
		.note = "memory can be swapped between check and use, so the blocked task is "
			"seized, continued, and what really started is verified before its "
			"first instruction",
	},
	[__NR_execveat] = {
		.name = "execveat", .type = ACTION_CODE_EXECUTION, .op = OP_EXEC,
		.args = { ARG_DIRFD, ARG_PATH, ARG_ARGV, ARG_ENVP, ARG_ATFLAGS },
		.how = HOW_EXEC,
		.note = "memory can be swapped between check and use, so the blocked task is "
			"seized, continued, and what really started is verified before its "
			"first instruction; an empty path runs the descriptor, so memfds are "
			"seen",
	},
	[__NR_clone] = {
		.name = "clone",
		.args = { ARG_INT, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_POINTER },
		.how = HOW_ALLOW,
		.rules = {
			IF_ANY_BIT(0, CLONE_NEW_ANY, HOW_ERRNO, EPERM),
		},
		.note = "flags are in a register; a new namespace would bring back the "
			"capabilities that were dropped",
	},
	REFUSED(clone3, ENOSYS,
		"its flags lie in memory where the filter cannot see them; glibc, Go and Rust fall "
		"back to clone",
		ARG_POINTER, ARG_SIZE),
#ifdef __NR_fork
	ALLOWED(fork, NEVER_STOP, ARG_NONE),
#endif
#ifdef __NR_vfork
	ALLOWED(vfork, NEVER_STOP, ARG_NONE),
#endif
	ALLOWED(exit, NEVER_STOP, ARG_INT),
	ALLOWED(exit_group, NEVER_STOP, ARG_INT),
	ALLOWED(wait4, WAITS, ARG_INT, ARG_POINTER, ARG_INT, ARG_POINTER),
	ALLOWED(waitid, WAITS, ARG_INT, ARG_INT, ARG_POINTER, ARG_INT, ARG_POINTER),
	[__NR_unshare] = {
		.name = "unshare",
		.args = { ARG_INT },
		.how = HOW_ALLOW,
		.rules = {
			IF_ANY_BIT(0, CLONE_NEW_ANY | CLONE_NEWTIME, HOW_ERRNO, EPERM),
		},
		.note = "no new namespaces; giving up a shared descriptor table, directory or "
			"semaphore list is harmless",
	},
	REFUSED(setns, EPERM,
		"would move the caller out of the namespaces that bound it",
		ARG_FD, ARG_INT),
	ALLOWED(getpid, OWN_TASK, ARG_NONE),
	ALLOWED(getppid, OWN_TASK, ARG_NONE),
	ALLOWED(gettid, OWN_TASK, ARG_NONE),
	ALLOWED(getpgid, OWN_TASK, ARG_INT),
#ifdef __NR_getpgrp
	ALLOWED(getpgrp, OWN_TASK, ARG_NONE),
#endif
	ALLOWED(getsid, OWN_TASK, ARG_INT),
	ALLOWED(setpgid, OWN_TASK, ARG_INT, ARG_INT),
	ALLOWED(setsid, OWN_TASK, ARG_NONE),
	ALLOWED(set_tid_address, OWN_TASK, ARG_POINTER),
	ALLOWED(getpriority, OWN_TASK, ARG_INT, ARG_INT),
	ALLOWED(setpriority, OWN_TASK, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(sched_yield, OWN_TASK, ARG_NONE),
	ALLOWED(getcpu, OWN_TASK, ARG_POINTER, ARG_POINTER, ARG_POINTER),
	ALLOWED(getrusage, OWN_TASK, ARG_INT, ARG_POINTER),
	ALLOWED(times, OWN_TASK, ARG_POINTER),
	ALLOWED(uname, OWN_TASK, ARG_POINTER),
	ALLOWED(sysinfo, OWN_TASK, ARG_POINTER),
	ALLOWED(kill, OWN_PIDS, ARG_INT, ARG_INT),
	ALLOWED(tkill, OWN_PIDS, ARG_INT, ARG_INT),
	ALLOWED(tgkill, OWN_PIDS, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(pidfd_open, OWN_PIDS, ARG_INT, ARG_INT),
	ALLOWED(pidfd_send_signal, OWN_PIDS, ARG_FD, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(rt_sigqueueinfo, OWN_PIDS, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(rt_tgsigqueueinfo, OWN_PIDS, ARG_INT, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(sched_setparam, OWN_PIDS, ARG_INT, ARG_POINTER),
	ALLOWED(sched_getparam, OWN_PIDS, ARG_INT, ARG_POINTER),
	ALLOWED(sched_setscheduler, OWN_PIDS, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(sched_getscheduler, OWN_PIDS, ARG_INT),
	ALLOWED(sched_get_priority_max, OWN_PIDS, ARG_INT),
	ALLOWED(sched_get_priority_min, OWN_PIDS, ARG_INT),
	ALLOWED(sched_rr_get_interval, OWN_PIDS, ARG_INT, ARG_POINTER),
	ALLOWED(sched_setaffinity, OWN_PIDS, ARG_INT, ARG_SIZE, ARG_POINTER),
	ALLOWED(sched_getaffinity, OWN_PIDS, ARG_INT, ARG_SIZE, ARG_POINTER),
	ALLOWED(sched_setattr, OWN_PIDS, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(sched_getattr, OWN_PIDS, ARG_INT, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(ioprio_set, OWN_PIDS, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(ioprio_get, OWN_PIDS, ARG_INT, ARG_INT),
	ALLOWED(get_robust_list, OWN_PIDS, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(migrate_pages, OWN_PIDS, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(move_pages, OWN_PIDS,
		ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_INT),
	ALLOWED(getrlimit, LOWERS_ONLY, ARG_INT, ARG_POINTER),
	ALLOWED(setrlimit, LOWERS_ONLY, ARG_INT, ARG_POINTER),
	ALLOWED(prlimit64, LOWERS_ONLY, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(rt_sigaction, OWN_SIGNALS, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_SIZE),
	ALLOWED(rt_sigprocmask, OWN_SIGNALS, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_SIZE),
	ALLOWED(rt_sigreturn, OWN_SIGNALS, ARG_NONE),
	ALLOWED(rt_sigpending, OWN_SIGNALS, ARG_POINTER, ARG_SIZE),
	ALLOWED(rt_sigtimedwait, OWN_SIGNALS, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_SIZE),
	ALLOWED(rt_sigsuspend, OWN_SIGNALS, ARG_POINTER, ARG_SIZE),
	ALLOWED(sigaltstack, OWN_SIGNALS, ARG_POINTER, ARG_POINTER),
#ifdef __NR_pause
	ALLOWED(pause, OWN_SIGNALS, ARG_NONE),
#endif
#ifdef __NR_alarm
	ALLOWED(alarm, OWN_SIGNALS, ARG_INT),
#endif
	ALLOWED(getitimer, OWN_SIGNALS, ARG_INT, ARG_POINTER),
	ALLOWED(setitimer, OWN_SIGNALS, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(restart_syscall, OWN_SIGNALS, ARG_NONE),
	ALLOWED(set_robust_list, OWN_TASK, ARG_POINTER, ARG_SIZE),
	ALLOWED(rseq, OWN_TASK, ARG_POINTER, ARG_INT, ARG_SIZE, ARG_INT),
#ifdef __NR_arch_prctl
	ALLOWED(arch_prctl, OWN_TASK, ARG_INT, ARG_POINTER),
#endif
	ALLOWED(membarrier, OWN_TASK, ARG_INT, ARG_INT, ARG_INT),
	[__NR_prctl] = {
		.name = "prctl",
		.args = { ARG_INT, ARG_INT, ARG_INT, ARG_INT, ARG_INT },
		.how = HOW_ALLOW,
		.rules = {
			IF_EQUAL(0, PR_SET_MM, HOW_ERRNO, EPERM),
			IF_EQUAL(0, PR_SET_PTRACER, HOW_ERRNO, EPERM),
			IF_EQUAL(0, PR_SET_SECUREBITS, HOW_ERRNO, EPERM),
			IF_EQUAL(0, PR_CAPBSET_DROP, HOW_CREDS, 0),
			IF_EQUAL(0, PR_CAP_AMBIENT, HOW_CREDS, 0),
		},
		.note = "concerns the caller; refused are moving the program image under the "
			"reader of argv, naming a tracer, and securebits",
	},
	[__NR_personality] = {
		.name = "personality",
		.args = { ARG_INT },
		.how = HOW_ERRNO, .deny_errno = EPERM,
		.rules = {
			IF_EQUAL(0, 0, HOW_ALLOW, 0),
			IF_EQUAL(0, PERSONALITY_QUERY, HOW_ALLOW, 0),
			IF_EQUAL(0, PERSONALITY_LINUX32, HOW_ALLOW, 0),
			IF_EQUAL(0, PERSONALITY_NO_RANDOMIZE, HOW_ALLOW, 0),
		},
		.note = "old personalities loosen memory protection; query, Linux, 32-bit "
			"uname and the switch that debuggers use stay",
	},
	[__NR_seccomp] = {
		.name = "seccomp",
		.args = { ARG_INT, ARG_INT, ARG_POINTER },
		.how = HOW_ALLOW,
		.rules = {
			IF_ANY_BIT(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, HOW_ERRNO, EPERM),
		},
		.note = "a program may narrow itself; a second listener could answer over "
			"ours, the newest filter wins",
	},
	ALLOWED(landlock_create_ruleset, NARROWS_ITSELF, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(landlock_add_rule, NARROWS_ITSELF, ARG_FD, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(landlock_restrict_self, NARROWS_ITSELF, ARG_FD, ARG_INT),
	REFUSED(ptrace, EPERM, FOREIGN_MEMORY, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	REFUSED(process_vm_readv, EPERM, FOREIGN_MEMORY,
		ARG_INT, ARG_POINTER, ARG_INT, ARG_POINTER, ARG_INT, ARG_INT),
	REFUSED(process_vm_writev, EPERM, FOREIGN_MEMORY,
		ARG_INT, ARG_POINTER, ARG_INT, ARG_POINTER, ARG_INT, ARG_INT),
	REFUSED(pidfd_getfd, EPERM, FOREIGN_MEMORY, ARG_FD, ARG_INT, ARG_INT),
	REFUSED(kcmp, EPERM, FOREIGN_MEMORY, ARG_INT, ARG_INT, ARG_INT, ARG_INT, ARG_INT),
	REFUSED(process_madvise, EPERM, FOREIGN_MEMORY,
		ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT),
	REFUSED(process_mrelease, EPERM,
		"reaps memory of another task that is being killed; only low-memory daemons call "
		"it",
		ARG_FD, ARG_INT),

	/* Identities */
	[__NR_setuid] = {
		.name = "setuid",
		.args = { ARG_UID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setgid] = {
		.name = "setgid",
		.args = { ARG_GID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setreuid] = {
		.name = "setreuid",
		.args = { ARG_UID, ARG_UID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setregid] = {
		.name = "setregid",
		.args = { ARG_GID, ARG_GID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setresuid] = {
		.name = "setresuid",
		.args = { ARG_UID, ARG_UID, ARG_UID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setresgid] = {
		.name = "setresgid",
		.args = { ARG_GID, ARG_GID, ARG_GID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setfsuid] = {
		.name = "setfsuid",
		.args = { ARG_UID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setfsgid] = {
		.name = "setfsgid",
		.args = { ARG_GID },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_setgroups] = {
		.name = "setgroups",
		.args = { ARG_INT, ARG_POINTER },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	[__NR_capset] = {
		.name = "capset",
		.args = { ARG_POINTER, ARG_POINTER },
		.how = HOW_CREDS,
		.note = CREDENTIALS,
	},
	ALLOWED(getuid, OWN_TASK, ARG_NONE),
	ALLOWED(getgid, OWN_TASK, ARG_NONE),
	ALLOWED(geteuid, OWN_TASK, ARG_NONE),
	ALLOWED(getegid, OWN_TASK, ARG_NONE),
	ALLOWED(getgroups, OWN_TASK, ARG_INT, ARG_POINTER),
	ALLOWED(getresuid, OWN_TASK, ARG_POINTER, ARG_POINTER, ARG_POINTER),
	ALLOWED(getresgid, OWN_TASK, ARG_POINTER, ARG_POINTER, ARG_POINTER),
	ALLOWED(capget, OWN_TASK, ARG_POINTER, ARG_POINTER),

	/* Memory, futexes, time */
	ALLOWED(mmap, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_INT, ARG_FD, ARG_INT),
	ALLOWED(mprotect, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(munmap, OWN_MEMORY, ARG_POINTER, ARG_SIZE),
	ALLOWED(brk, OWN_MEMORY, ARG_POINTER),
	ALLOWED(mremap, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_SIZE, ARG_INT, ARG_POINTER),
	ALLOWED(msync, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(mincore, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_POINTER),
	ALLOWED(madvise, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(mlock, OWN_MEMORY, ARG_POINTER, ARG_SIZE),
	ALLOWED(munlock, OWN_MEMORY, ARG_POINTER, ARG_SIZE),
	ALLOWED(mlockall, OWN_MEMORY, ARG_INT),
	ALLOWED(munlockall, OWN_MEMORY, ARG_NONE),
	ALLOWED(mlock2, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(remap_file_pages, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_SIZE, ARG_INT),
	ALLOWED(pkey_mprotect, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_INT),
	ALLOWED(pkey_alloc, OWN_MEMORY, ARG_INT, ARG_INT),
	ALLOWED(pkey_free, OWN_MEMORY, ARG_INT),
	ALLOWED(mseal, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(map_shadow_stack, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(mbind, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_POINTER, ARG_INT, ARG_INT),
	ALLOWED(set_mempolicy, OWN_MEMORY, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(get_mempolicy, OWN_MEMORY, ARG_POINTER, ARG_POINTER, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(set_mempolicy_home_node, OWN_MEMORY, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_INT),
	REFUSED(memfd_secret, ENOSYS,
		"memory that the monitor cannot read but the kernel can would hide paths and "
		"addresses",
		ARG_INT),
	REFUSED(userfaultfd, EPERM,
		"a page fault that the caller answers itself holds a kernel read as long as it "
		"likes",
		ARG_INT),
	ALLOWED(futex, WAITS, ARG_POINTER, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_INT),
	ALLOWED(futex_waitv, WAITS, ARG_POINTER, ARG_INT, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(futex_wake, WAITS, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(futex_wait, WAITS, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(futex_requeue, WAITS, ARG_POINTER, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(nanosleep, CLOCK_READ, ARG_POINTER, ARG_POINTER),
	ALLOWED(clock_nanosleep, CLOCK_READ, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(gettimeofday, CLOCK_READ, ARG_POINTER, ARG_POINTER),
#ifdef __NR_time
	ALLOWED(time, CLOCK_READ, ARG_POINTER),
#endif
	ALLOWED(clock_gettime, CLOCK_READ, ARG_INT, ARG_POINTER),
	ALLOWED(clock_getres, CLOCK_READ, ARG_INT, ARG_POINTER),
	ALLOWED(timer_create, CLOCK_READ, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(timer_settime, CLOCK_READ, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(timer_gettime, CLOCK_READ, ARG_INT, ARG_POINTER),
	ALLOWED(timer_getoverrun, CLOCK_READ, ARG_INT),
	ALLOWED(timer_delete, CLOCK_READ, ARG_INT),
	REFUSED(settimeofday, EPERM, HOST_CLOCK, ARG_POINTER, ARG_POINTER),
	REFUSED(clock_settime, EPERM, HOST_CLOCK, ARG_INT, ARG_POINTER),
	REFUSED(adjtimex, EPERM, HOST_CLOCK, ARG_POINTER),
	REFUSED(clock_adjtime, EPERM, HOST_CLOCK, ARG_INT, ARG_POINTER),
	ALLOWED(getrandom, "randomness of the kernel", ARG_POINTER, ARG_SIZE, ARG_INT),

	/* uprobes: entered only from a trampoline that the kernel placed for a tracer outside */
#ifdef __NR_uretprobe
	ALLOWED(uretprobe, UPROBE, ARG_NONE),
#endif
#ifdef __NR_uprobe
	ALLOWED(uprobe, UPROBE, ARG_NONE),
#endif

	/* Network */
	[__NR_socket] = {
		.name = "socket",
		.args = { ARG_INT, ARG_INT, ARG_INT },
		.how = HOW_ERRNO, .deny_errno = EAFNOSUPPORT,
		.rules = {
			/* before NETLINK passes; as IP protocols nobody uses these two */
			IF_EQUAL(2, NETLINK_AUDIT, HOW_ERRNO, EPROTONOSUPPORT),
			IF_EQUAL(2, NETLINK_KOBJECT_UEVENT, HOW_ERRNO, EPROTONOSUPPORT),
			IF_EQUAL(0, AF_NETLINK, HOW_ALLOW, 0),
			IF_EQUAL(0, AF_UNIX, HOW_ALLOW, 0),
			IF_NOT_MASKED(0, LOW32 & ~FAMILY_INET6_BIT, AF_INET, HOW_ERRNO, EAFNOSUPPORT),
			IF_MASKED(1, SOCKET_TYPE, SOCK_RAW, HOW_ERRNO, EPERM),
			IF_ANY_BIT(1, SOCKET_TYPE_ODD, HOW_ERRNO, EPERM),
			IF_EQUAL(2, IPPROTO_UDPLITE, HOW_ALLOW, 0),
			IF_ANY_BIT(2, PROTOCOL_ODD, HOW_ERRNO, EPROTONOSUPPORT),
			IF_EQUAL(0, AF_INET, HOW_ALLOW, 0),
			IF_EQUAL(0, AF_INET6, HOW_ALLOW, 0),
		},
		.note = "UNIX, INET and INET6 streams and datagrams, and NETLINK that glibc "
			"asks for interfaces; others load kernel modules or reach past the "
			"network namespace (VSOCK, ALG, PACKET, SCTP)",
	},
	[__NR_socketpair] = {
		.name = "socketpair",
		.args = { ARG_INT, ARG_INT, ARG_INT, ARG_POINTER },
		.how = HOW_ERRNO, .deny_errno = EAFNOSUPPORT,
		.rules = {
			IF_EQUAL(0, AF_UNIX, HOW_ALLOW, 0),
		},
		.note = "UNIX pairs stay inside; the other family that has pairs, TIPC, is a "
			"kernel module nobody needs",
	},
	[__NR_connect] = {
		.name = "connect", .type = ACTION_NETWORK_REQUEST, .op = OP_CONNECT,
		.args = { ARG_FD, ARG_SOCKADDR, ARG_SIZE },
		.undo = UNDO_EXTERNAL, .how = HOW_CONNECT,
		.note = "the address lies in memory; it is copied, decided, and only the "
			"approved destination listens",
	},
	[__NR_bind] = {
		.name = "bind", .type = ACTION_NETWORK_REQUEST, .op = OP_BIND,
		.args = { ARG_FD, ARG_SOCKADDR, ARG_SIZE },
		.how = HOW_CONNECT,
		.note = "harmless in a private network namespace, but published ports and "
			"AF_UNIX names are decided on the copied address",
	},
	[__NR_sendto] = {
		.name = "sendto", .type = ACTION_NETWORK_REQUEST, .op = OP_SEND,
		.args = { ARG_FD, ARG_BYTES, ARG_SIZE, ARG_INT, ARG_SOCKADDR, ARG_SIZE },
		.undo = UNDO_EXTERNAL, .how = HOW_SEND,
		.rules = {
			IF_ANY_BIT(3, MSG_FASTOPEN, HOW_ERRNO, EPERM),
			IF_NULL(4, HOW_ALLOW),
		},
		.note = "a datagram can name its destination; TCP Fast Open would connect "
			"without connect(2); without an address it is a write",
	},
	[__NR_sendmsg] = {
		.name = "sendmsg", .type = ACTION_NETWORK_REQUEST, .op = OP_SEND,
		.args = { ARG_FD, ARG_MSGHDR, ARG_INT },
		.undo = UNDO_EXTERNAL, .how = HOW_SEND,
		.rules = {
			IF_ANY_BIT(2, MSG_FASTOPEN, HOW_ERRNO, EPERM),
		},
		.note = "a datagram can name its destination; TCP Fast Open would connect "
			"without connect(2)",
	},
	[__NR_sendmmsg] = {
		.name = "sendmmsg", .type = ACTION_NETWORK_REQUEST, .op = OP_SEND,
		.args = { ARG_FD, ARG_MMSGHDR, ARG_INT, ARG_INT },
		.undo = UNDO_EXTERNAL, .how = HOW_SEND,
		.rules = {
			IF_ANY_BIT(3, MSG_FASTOPEN, HOW_ERRNO, EPERM),
		},
		.note = "a datagram can name its destination; TCP Fast Open would connect "
			"without connect(2), and every message of the vector names its own",
	},
	[__NR_listen] = {
		.name = "listen", .type = ACTION_NETWORK_REQUEST, .op = OP_BIND,
		.args = { ARG_FD, ARG_INT },
		.how = HOW_CONNECT,
		.note = "harmless in a private network namespace; made by the monitor where the "
			"caller may hold a socket of the host's",
	},
	ALLOWED(accept, OWN_NET, ARG_FD, ARG_POINTER, ARG_POINTER),
	ALLOWED(accept4, OWN_NET, ARG_FD, ARG_POINTER, ARG_POINTER, ARG_INT),
	ALLOWED(shutdown, OWN_NET, ARG_FD, ARG_INT),
	ALLOWED(getsockname, OWN_NET, ARG_FD, ARG_POINTER, ARG_POINTER),
	ALLOWED(getpeername, OWN_NET, ARG_FD, ARG_POINTER, ARG_POINTER),
	[__NR_setsockopt] = {
		.name = "setsockopt",
		.args = { ARG_FD, ARG_INT, ARG_INT, ARG_POINTER, ARG_INT },
		.how = HOW_ALLOW, .host_sockets = ARG_PAIRS_SETSOCKOPT,
		.deny_errno = ENOPROTOOPT,
		.note = OWN_NET "; an option of a socket of the host's could lead elsewhere",
	},
	ALLOWED(getsockopt, OWN_NET, ARG_FD, ARG_INT, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(recvfrom, ARRIVES,
		ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_POINTER, ARG_POINTER),
	ALLOWED(recvmsg, ARRIVES, ARG_FD, ARG_POINTER, ARG_INT),
	ALLOWED(recvmmsg, ARRIVES, ARG_FD, ARG_POINTER, ARG_INT, ARG_INT, ARG_POINTER),

	/* System V and POSIX IPC */
	ALLOWED(shmget, OWN_IPC, ARG_INT, ARG_SIZE, ARG_INT),
	ALLOWED(shmat, OWN_IPC, ARG_INT, ARG_POINTER, ARG_INT),
	ALLOWED(shmctl, OWN_IPC, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(shmdt, OWN_IPC, ARG_POINTER),
	ALLOWED(semget, OWN_IPC, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(semop, OWN_IPC, ARG_INT, ARG_POINTER, ARG_SIZE),
	ALLOWED(semctl, OWN_IPC, ARG_INT, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(semtimedop, OWN_IPC, ARG_INT, ARG_POINTER, ARG_SIZE, ARG_POINTER),
	ALLOWED(msgget, OWN_IPC, ARG_INT, ARG_INT),
	ALLOWED(msgsnd, OWN_IPC, ARG_INT, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(msgrcv, OWN_IPC, ARG_INT, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_INT),
	ALLOWED(msgctl, OWN_IPC, ARG_INT, ARG_INT, ARG_POINTER),
	ALLOWED(mq_open, OWN_IPC, ARG_POINTER, ARG_OFLAGS, ARG_INT, ARG_POINTER),
	ALLOWED(mq_unlink, OWN_IPC, ARG_POINTER),
	ALLOWED(mq_timedsend, OWN_IPC, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_INT, ARG_POINTER),
	ALLOWED(mq_timedreceive, OWN_IPC, ARG_FD, ARG_POINTER, ARG_SIZE, ARG_POINTER, ARG_POINTER),
	ALLOWED(mq_notify, OWN_IPC, ARG_FD, ARG_POINTER),
	ALLOWED(mq_getsetattr, OWN_IPC, ARG_FD, ARG_POINTER, ARG_POINTER),

	/* Mounts */
	REFUSED(mount, EPERM, MOUNT_TREE, ARG_POINTER, ARG_PATH, ARG_POINTER, ARG_INT, ARG_POINTER),
	REFUSED(umount2, EPERM, MOUNT_TREE, ARG_PATH, ARG_INT),
	REFUSED(move_mount, EPERM, MOUNT_TREE, ARG_DIRFD, ARG_PATH, ARG_DIRFD, ARG_PATH, ARG_INT),
	REFUSED(open_tree, EPERM, MOUNT_TREE, ARG_DIRFD, ARG_PATH, ARG_INT),
	REFUSED(mount_setattr, EPERM, MOUNT_TREE,
		ARG_DIRFD, ARG_PATH, ARG_ATFLAGS, ARG_POINTER, ARG_SIZE),
	REFUSED(fsopen, ENOSYS, NEW_MOUNT_API, ARG_POINTER, ARG_INT),
	REFUSED(fsconfig, ENOSYS, NEW_MOUNT_API,
		ARG_FD, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_INT),
	REFUSED(fsmount, ENOSYS, NEW_MOUNT_API, ARG_FD, ARG_INT, ARG_INT),
	REFUSED(fspick, ENOSYS, NEW_MOUNT_API, ARG_DIRFD, ARG_PATH, ARG_INT),
	REFUSED(open_tree_attr, ENOSYS, NEW_MOUNT_API,
		ARG_DIRFD, ARG_PATH, ARG_INT, ARG_POINTER, ARG_SIZE),
	ALLOWED(statmount, OWN_MOUNTS, ARG_POINTER, ARG_POINTER, ARG_SIZE, ARG_INT),
	ALLOWED(listmount, OWN_MOUNTS, ARG_POINTER, ARG_POINTER, ARG_SIZE, ARG_INT),
	REFUSED(swapon, EPERM, WHOLE_HOST, ARG_PATH, ARG_INT),
	REFUSED(swapoff, EPERM, WHOLE_HOST, ARG_PATH),
	REFUSED(quotactl, EPERM, WHOLE_HOST, ARG_INT, ARG_PATH, ARG_INT, ARG_POINTER),
	REFUSED(quotactl_fd, EPERM, WHOLE_HOST, ARG_FD, ARG_INT, ARG_INT, ARG_POINTER),
	REFUSED(acct, EPERM, WHOLE_HOST, ARG_PATH),

	/* The host and the kernel */
	REFUSED(reboot, EPERM, WHOLE_HOST, ARG_INT, ARG_INT, ARG_INT, ARG_POINTER),
	REFUSED(sethostname, EPERM, WHOLE_HOST, ARG_POINTER, ARG_SIZE),
	REFUSED(setdomainname, EPERM, WHOLE_HOST, ARG_POINTER, ARG_SIZE),
	REFUSED(vhangup, EPERM, WHOLE_HOST, ARG_NONE),
	REFUSED(syslog, EPERM, WHOLE_HOST, ARG_INT, ARG_POINTER, ARG_INT),
	REFUSED(kexec_load, EPERM, WHOLE_HOST, ARG_INT, ARG_INT, ARG_POINTER, ARG_INT),
	REFUSED(kexec_file_load, EPERM, WHOLE_HOST, ARG_FD, ARG_FD, ARG_INT, ARG_POINTER, ARG_INT),
	REFUSED(init_module, EPERM, WHOLE_HOST, ARG_POINTER, ARG_SIZE, ARG_POINTER),
	REFUSED(finit_module, EPERM, WHOLE_HOST, ARG_FD, ARG_POINTER, ARG_INT),
	REFUSED(delete_module, EPERM, WHOLE_HOST, ARG_POINTER, ARG_INT),
	REFUSED(lookup_dcookie, EPERM, WHOLE_HOST, ARG_INT, ARG_POINTER, ARG_SIZE),
	REFUSED(bpf, EPERM, KERNEL_SURFACE, ARG_INT, ARG_POINTER, ARG_INT),
	REFUSED(perf_event_open, EPERM, KERNEL_SURFACE,
		ARG_POINTER, ARG_INT, ARG_INT, ARG_FD, ARG_INT),
	REFUSED(fanotify_init, EPERM, KERNEL_SURFACE, ARG_INT, ARG_INT),
	REFUSED(fanotify_mark, EPERM, KERNEL_SURFACE,
		ARG_FD, ARG_INT, ARG_INT, ARG_DIRFD, ARG_PATH),
#ifdef __NR_iopl
	REFUSED(iopl, EPERM, KERNEL_SURFACE, ARG_INT),
#endif
#ifdef __NR_ioperm
	REFUSED(ioperm, EPERM, KERNEL_SURFACE, ARG_INT, ARG_INT, ARG_INT),
#endif
#ifdef __NR_modify_ldt
	REFUSED(modify_ldt, EPERM, KERNEL_SURFACE, ARG_INT, ARG_POINTER, ARG_INT),
#endif
#ifdef __NR_uselib
	REFUSED(uselib, EPERM, KERNEL_SURFACE, ARG_PATH),
#endif
	REFUSED(add_key, EPERM, KEYRING, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_SIZE, ARG_INT),
	REFUSED(request_key, EPERM, KEYRING, ARG_POINTER, ARG_POINTER, ARG_POINTER, ARG_INT),
	REFUSED(keyctl, EPERM, KEYRING, ARG_INT, ARG_INT, ARG_INT, ARG_INT, ARG_INT),
	ALLOWED(lsm_get_self_attr, OWN_LABELS, ARG_INT, ARG_POINTER, ARG_POINTER, ARG_INT),
	ALLOWED(lsm_list_modules, OWN_LABELS, ARG_POINTER, ARG_POINTER, ARG_INT),
	REFUSED(lsm_set_self_attr, EPERM,
		"could leave the label under which a security module confines the sandbox",
		ARG_INT, ARG_POINTER, ARG_SIZE, ARG_INT),
#ifdef __NR_create_module
	REFUSED(create_module, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_get_kernel_syms
	REFUSED(get_kernel_syms, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_query_module
	REFUSED(query_module, ENOSYS, REMOVED, ARG_NONE),
#endif
	REFUSED(nfsservctl, ENOSYS, REMOVED, ARG_NONE),
#ifdef __NR_getpmsg
	REFUSED(getpmsg, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_putpmsg
	REFUSED(putpmsg, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_afs_syscall
	REFUSED(afs_syscall, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_tuxcall
	REFUSED(tuxcall, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_security
	REFUSED(security, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_vserver
	REFUSED(vserver, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR__sysctl
	REFUSED(_sysctl, ENOSYS, REMOVED, ARG_POINTER),
#endif
#ifdef __NR_epoll_ctl_old
	REFUSED(epoll_ctl_old, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_epoll_wait_old
	REFUSED(epoll_wait_old, ENOSYS, REMOVED, ARG_NONE),
#endif
#ifdef __NR_set_thread_area
	REFUSED(set_thread_area, ENOSYS, REMOVED, ARG_POINTER),
#endif
#ifdef __NR_get_thread_area
	REFUSED(get_thread_area, ENOSYS, REMOVED, ARG_POINTER),
#endif
};

/* clang-format on */

const struct syscall_row *syscall_find(uint32_t nr)
{
	if (nr >= sizeof(rows) / sizeof(rows[0]) || !*rows[nr].name)
		return NULL;
	return &rows[nr];
}

int syscall_number(const char *name)
{
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		if (*rows[nr].name && strcmp(rows[nr].name, name) == 0)
			return (int)nr;
	}
	return -1;
}

uint32_t syscall_count(void)
{
	return sizeof(rows) / sizeof(rows[0]);
}

bool syscall_rule_holds(const struct arg_rule *rule, const uint64_t args[static SYSCALL_ARGS])
{
	uint64_t value = rule->wide ? args[rule->arg] : args[rule->arg] & UINT32_MAX;
	return ((value & rule->mask) == rule->datum) != (rule->negate != 0);
}

enum how syscall_how(const struct syscall_row *row, const uint64_t args[static SYSCALL_ARGS],
		     int *ret_errno)
{
	enum how how = row->how;
	int deny_errno = row->deny_errno;

	for (size_t i = 0; i < SYSCALL_RULES && row->rules[i].set; i++) {
		const struct arg_rule *rule = &row->rules[i];
		if (syscall_rule_holds(rule, args)) {
			how = (enum how)rule->how;
			deny_errno = rule->deny_errno;
			break;
		}
	}
	*ret_errno = how == HOW_ERRNO ? deny_errno : 0;
	return how;
}

static const char *const how_names[] = {
	[HOW_UNKNOWN] = "unknown", [HOW_ALLOW] = "allow",     [HOW_ERRNO] = "errno",
	[HOW_KILL] = "kill",       [HOW_EMULATE] = "emulate", [HOW_OPEN] = "open",
	[HOW_EXEC] = "exec",       [HOW_CONNECT] = "connect", [HOW_SEND] = "send",
	[HOW_CREDS] = "creds",
};
_Static_assert(sizeof(how_names) / sizeof(how_names[0]) == HOW_COUNT, "a name each");

static const char *const undo_names[] = {
	[UNDO_NONE] = "none",       [UNDO_OPEN] = "open", [UNDO_UNLINK] = "unlink",
	[UNDO_RMDIR] = "rmdir",     [UNDO_MAKE] = "make", [UNDO_RENAME] = "rename",
	[UNDO_CONTENT] = "content", [UNDO_META] = "meta", [UNDO_EXTERNAL] = "external",
};
_Static_assert(sizeof(undo_names) / sizeof(undo_names[0]) == UNDO_COUNT, "a name each");

static const char *const arg_names[] = {
	[ARG_NONE] = "none",
	[ARG_INT] = "int",
	[ARG_FD] = "fd",
	[ARG_DIRFD] = "dirfd",
	[ARG_PATH] = "path",
	[ARG_TARGET] = "target",
	[ARG_OFLAGS] = "oflags",
	[ARG_ATFLAGS] = "atflags",
	[ARG_MODE] = "mode",
	[ARG_DEV] = "dev",
	[ARG_OPENHOW] = "open_how",
	[ARG_SIZE] = "size",
	[ARG_UID] = "uid",
	[ARG_GID] = "gid",
	[ARG_TIMESPECS] = "timespecs",
	[ARG_TIMEVALS] = "timevals",
	[ARG_UTIMBUF] = "utimbuf",
	[ARG_XATTR_NAME] = "xattr_name",
	[ARG_XATTR_VALUE] = "xattr_value",
	[ARG_XATTR_ARGS] = "xattr_args",
	[ARG_ARGV] = "argv",
	[ARG_ENVP] = "envp",
	[ARG_SOCKADDR] = "sockaddr",
	[ARG_BYTES] = "bytes",
	[ARG_MSGHDR] = "msghdr",
	[ARG_MMSGHDR] = "mmsghdr",
	[ARG_POINTER] = "pointer",
};
_Static_assert(sizeof(arg_names) / sizeof(arg_names[0]) == ARG_KIND_COUNT, "a name each");

const char *how_name(enum how how)
{
	return (unsigned)how < HOW_COUNT ? how_names[how] : "invalid";
}

const char *undo_name(enum undo undo)
{
	return (unsigned)undo < UNDO_COUNT ? undo_names[undo] : "invalid";
}

const char *arg_name(enum arg arg)
{
	return (unsigned)arg < ARG_KIND_COUNT ? arg_names[arg] : "invalid";
}
