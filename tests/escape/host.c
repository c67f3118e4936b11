/*
 * The host's side of outside.c: sockets in the current directory, one abstract
 * name (argv[1]), one TCP port on 127.0.0.1. Prints "PID PORT" when ready, answers
 * "pong", prints "reached NAME" for whoever got through. Ends with its stdin.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_unix(const char *name, int type, int abstract)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);

	memcpy(sa.sun_path + abstract, name, strlen(name));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0 ||
	    (type != SOCK_DGRAM && listen(fd, 16) != 0)) {
		perror(name);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "stdin",     "unix", "abstract",
					     "seqpacket", "tcp",  "dgram" };
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	struct pollfd p[6] = { { .fd = 0, .events = POLLIN } };
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGURG, SIG_IGN);
	if (bind(tcp, (struct sockaddr *)&sin, len) != 0 || listen(tcp, 16) != 0 ||
	    getsockname(tcp, (struct sockaddr *)&sin, &len) != 0) {
		perror("tcp");
		return 1;
	}
	p[1].fd = listen_unix("host.sock", SOCK_STREAM, 0);
	p[2].fd = listen_unix(argv[1], SOCK_STREAM, 1);
	p[3].fd = listen_unix("host.seq", SOCK_SEQPACKET, 0);
	p[4].fd = tcp;
	p[5].fd = listen_unix("host.dgram", SOCK_DGRAM, 0);
	for (int i = 1; i < 6; i++)
		p[i].events = POLLIN;
	printf("%d %d\n", getpid(), ntohs(sin.sin_port));
	fflush(stdout);
	while (poll(p, 6, 600000) > 0 && !p[0].revents) {
		char text[16];

		for (int i = 1; i < 6; i++) {
			int fd;

			if (!(p[i].revents & POLLIN))
				continue;
			printf("reached %s\n", names[i]);
			fflush(stdout);
			if (i == 5) {
				if (recv(p[i].fd, text, sizeof(text), MSG_DONTWAIT) < 0)
					perror("recv");
				continue;
			}
			fd = accept(p[i].fd, NULL, NULL);
			if (fd < 0)
				continue;
			if (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 20000) > 0 &&
			    read(fd, text, sizeof(text)) > 0 && write(fd, "pong", 4) != 4)
				perror("write");
			close(fd);
		}
	}
	return 0;
}
