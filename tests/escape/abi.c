/* Other doors into the kernel: i386 and x32 calls, high bits in 32-bit arguments, unknown numbers.
 */
#include "attack.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#define HIGH (1UL << 32)

#ifdef __x86_64__
static long int80(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

static char *low_copy(const char *text)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		       -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	strcpy(p, text);
	return p;
}

static int int80_getpid_body(void)
{
	return verdict(int80(20, 0, 0, 0) > 0);
}

static int int80_open_body(void)
{
	char *path = low_copy("secret.env");

	return path ? reads_secret((int)int80(5, (long)path, O_RDONLY, 0)) : SKIPPED;
}

static int int80_unlink_body(void)
{
	char *path = low_copy("secret.env");

	return path ? verdict(int80(10, (long)path, 0, 0) == 0) : SKIPPED;
}

static int int80_exec_body(void)
{
	char *path = low_copy("./a.okexec");
	uint32_t *argv = (uint32_t *)(void *)(path + 1024);

	strcpy(path + 512, "--role");
	argv[0] = (uint32_t)(uintptr_t)path;
	argv[1] = (uint32_t)(uintptr_t)(path + 512);
	argv[2] = 0;
	int80(11, (long)path, (long)argv, (long)(argv + 2));
	return STOPPED;
}

static int int80_socketcall_body(void)
{
	uint32_t *args = (uint32_t *)(void *)low_copy("");

	args[0] = AF_UNIX;
	args[1] = SOCK_STREAM;
	args[2] = 0;
	return verdict(int80(102, 1, (long)args, 0) >= 0);
}

static int int80_getpid(void)
{
	return in_child(int80_getpid_body);
}

static int int80_open(void)
{
	return in_child(int80_open_body);
}

static int int80_unlink(void)
{
	return in_child(int80_unlink_body);
}

static int int80_exec(void)
{
	/* the other program ran: its own code */
	return in_child(int80_exec_body) == 3 ? SUCCEEDED : STOPPED;
}

static int int80_socketcall(void)
{
	return in_child(int80_socketcall_body);
}

static int x32_getpid_body(void)
{
	return verdict(syscall(0x40000000L | SYS_getpid) > 0);
}

static int x32_open_body(void)
{
	return reads_secret((int)syscall(0x40000000L | SYS_open, "secret.env", O_RDONLY));
}

static int x32_exec_body(void)
{
	char *const argv[] = { (char *)"x", (char *)"--role", NULL };

	syscall(0x40000000L | 520, "./a.okexec", argv, environ);
	return STOPPED;
}

static int x32_getpid(void)
{
	return in_child(x32_getpid_body);
}

static int x32_open(void)
{
	return in_child(x32_open_body);
}

static int x32_exec(void)
{
	return in_child(x32_exec_body) == 3 ? SUCCEEDED : STOPPED;
}
#endif

/* Bits above the 32 that the kernel looks at must not hide what it looks at. */
static int high_openat_dirfd(void)
{
	return reads_secret((int)syscall(SYS_openat, ((unsigned long)AT_FDCWD & 0xffffffff) | HIGH,
					 "secret.env", O_RDONLY));
}

static int high_open_flags(void)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "secret.env", O_WRONLY | O_TRUNC | HIGH);

	return verdict(fd >= 0);
}

static int high_socket_packet(void)
{
	return verdict(syscall(SYS_socket, AF_PACKET | HIGH, SOCK_RAW | HIGH, 0) >= 0);
}

static int high_socket_type(void)
{
	return verdict(syscall(SYS_socket, AF_INET | HIGH, SOCK_RAW | HIGH, 255 | HIGH) >= 0);
}

static int high_clone_newuser(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD | HIGH, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return verdict(pid > 0);
}

static int high_unshare_body(void)
{
	return verdict(syscall(SYS_unshare, CLONE_NEWUSER | HIGH) == 0);
}

static int high_unshare(void)
{
	return in_child(high_unshare_body);
}

static int high_prctl_set_mm(void)
{
	/* 4 bytes that are no map: EINVAL from the kernel, EPERM from a filter */
	return reached(syscall(SYS_prctl, PR_SET_MM | HIGH, PR_SET_MM_START_BRK, 1, 0, 0));
}

/* A terminal of our own, so that natively nobody's shell gets the byte. */
static int sti(unsigned long request)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	char c = 'x';

	if (master < 0 || grantpt(master) || unlockpt(master))
		return skip("pty");
	if (setsid() < 0)
		return skip("setsid");
	slave = open(ptsname(master), O_RDWR);
	if (slave < 0)
		return skip("pty slave");
	ioctl(slave, TIOCSCTTY, 0);
	return verdict(syscall(SYS_ioctl, slave, request, &c) == 0);
}

static int tiocsti_body(void)
{
	return sti(TIOCSTI);
}

static int high_tiocsti_body(void)
{
	return sti(TIOCSTI | HIGH);
}

static int tiocsti(void)
{
	return in_child(tiocsti_body);
}

static int high_tiocsti(void)
{
	return in_child(high_tiocsti_body);
}

static int tioclinux(void)
{
	char c[2] = { 6, 0 }; /* ask for the shift state: the least harmful of its subcodes */
	int fd = open("/dev/tty1", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return verdict(false);
	return verdict(ioctl(fd, TIOCLINUX, c) == 0);
}

static int unknown_body(void)
{
	int wrong = 0;

	for (long nr = 500; nr < 1024; nr++)
		if (syscall(nr, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
			wrong++;
	if (syscall(-1L) != -1 || errno != ENOSYS)
		wrong++;
	note("%d numbers answered other than ENOSYS", wrong);
	return wrong ? SUCCEEDED : STOPPED;
}

static int unknown_numbers(void)
{
	return in_child(unknown_body);
}

const struct attack attacks[] = {
#ifdef __x86_64__
	{ "int80_getpid", int80_getpid, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "int80_open", int80_open, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "int80_unlink", int80_unlink, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "int80_exec", int80_exec, NATIVE_MAY, UNDER_ATTACK, NULL },
	{ "int80_socketcall", int80_socketcall, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "x32_getpid", x32_getpid, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "x32_open", x32_open, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "x32_exec", x32_exec, NATIVE_MAY, UNDER_ATTACK, NULL },
#endif
	{ "high_openat_dirfd", high_openat_dirfd, NATIVE_MUST, UNDER_STRICT, "secret.env" },
	{ "high_open_flags", high_open_flags, NATIVE_MUST, UNDER_STRICT, "secret.env" },
	{ "high_socket_packet", high_socket_packet, NATIVE_ROOT, UNDER_STRICT, NULL },
	{ "high_socket_type", high_socket_type, NATIVE_ROOT, UNDER_STRICT, NULL },
	{ "high_clone_newuser", high_clone_newuser, NATIVE_MUST, UNDER_STRICT, NULL },
	{ "high_unshare", high_unshare, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "high_prctl_set_mm", high_prctl_set_mm, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "tiocsti", tiocsti, NATIVE_ROOT, UNDER_STRICT, NULL },
	{ "high_tiocsti", high_tiocsti, NATIVE_ROOT, UNDER_STRICT, NULL },
	{ "tioclinux", tioclinux, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "unknown_numbers", unknown_numbers, NATIVE_MAY, UNDER_STRICT, NULL },
	{ 0 },
};
