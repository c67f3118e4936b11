/* Connections to ADDRESS PORT, one after the other, for COUNT: the median time of connect(2), in us. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double us[100000];
	struct sockaddr_in to = { .sin_family = AF_INET };
	int count = argc == 4 ? atoi(argv[3]) : 0;
	if (count < 1 || count > 100000 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	for (int i = 0; i < count; i++) {
		struct timespec a, b;
		int s = socket(AF_INET, SOCK_STREAM, 0);
		clock_gettime(CLOCK_MONOTONIC, &a);
		if (connect(s, (struct sockaddr *)&to, sizeof(to)) < 0) {
			perror("connect");
			return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		close(s);
		us[i] = (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
	}
	qsort(us, (size_t)count, sizeof(us[0]), by_value);
	printf("%.1f\n", us[count / 2]);
	return 0;
}
