/* An agent that writes one file: cc example.c $(pkg-config --cflags --libs vsandbox); VSANDBOX_API_KEY=vtk_… ./a.out */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <vsandbox.h>

static int remove_again(const struct vs_action *action, void *arg)
{
	(void)arg;
	return unlink(action->resource) == 0 ? 0 : -errno;
}

static int work(struct vs_client *vs, struct vs_error *err)
{
	struct vs_decision d;
	struct vs_action write = { .type = "file_write",
				   .resource = "/tmp/vsandbox-example",
				   .rollback = remove_again };
	int r = vs_require(vs, &write, &d, err);
	if (r < 0)
		return r;
	FILE *f = fopen(write.resource, "w");
	if (!f || fputs("hello\n", f) < 0 || fclose(f) != 0)
		return -EIO;
	r = vs_log_action(vs, &write, &d, err);
	if (r == 0)
		printf("%s: risk %.2f\n", write.resource, d.risk_score);
	return r;
}

int main(void)
{
	static const char *const blocked[] = { "prod.*", "*.env", NULL };
	struct vs_options o;
	struct vs_client *vs;
	struct vs_error err = { "" };
	vs_options_init(&o);
	o.blocked_resources = blocked;
	o.mode = VS_ROLLBACK;
	int r = vs_open(&o, &vs, &err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	r = vs_monitor_begin(vs, "example", &err);
	if (r == 0) {
		r = work(vs, &err);
		vs_monitor_end(vs);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	vs_close(vs);
	return r < 0;
}
