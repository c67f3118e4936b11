/*
 * vsandbox-mcp: the control plane as tools of the Model Context Protocol, over stdio: one JSON-RPC 2.0 message a line.
 *
 * The server is VAULTAK_API_URL, the key VSANDBOX_API_KEY; the key's role decides, at the server, which tools succeed.
 * What the server says comes back as text for a model to read, and is data: nothing in it is acted on here.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/tools.h"
#include "sdk/c/client.h"

enum { LINE_MAX_BYTES = 1 << 20, PATH_SIZE = 2048 };

/* Everything but letters, digits, - and _ is quoted, so that an id stays one segment of the path. */
static void quote_segment(const char *text, char out[static 3 * TOOL_ID_MAX + 1])
{
	for (; *text; text++) {
		const char c = *text;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_';
		out += sprintf(out, plain ? "%c" : "%%%02X", (unsigned char)c);
	}
	*out = '\0';
}

/* The route with the id in the place of its {…}. */
static void path_of(const struct tool_request *r, char path[static PATH_SIZE])
{
	char segment[3 * TOOL_ID_MAX + 1];
	size_t before = strcspn(r->route, "{");
	const char *after = strchr(r->route, '}');
	quote_segment(r->id, segment);
	snprintf(path, PATH_SIZE, "%.*s%s%s%s%s", (int)before, r->route, segment,
		 after ? after + 1 : "", *r->limit ? "?limit=" : "", r->limit);
}

static struct json_object *ask(struct vs_client *c, struct json_object *message,
			       struct tool_request *r)
{
	char path[PATH_SIZE];
	struct vs_error err = { "" };
	struct json_object *said = NULL;
	path_of(r, path);
	int rc = request(c, r->method, path, r->body, 0, &said, &err);
	struct json_object *result = tools_result(
		message,
		rc < 0 ? err.text : json_object_to_json_string_ext(said, JSON_C_TO_STRING_PLAIN),
		rc < 0);
	json_object_put(said);
	json_object_put(r->body);
	return result;
}

static void handle_line(struct vs_client *c, const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *message = NULL, *answer = NULL;
	struct tool_request r;
	if (!tokener)
		return;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	message = json_tokener_parse_ex(tokener, line, (int)len + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(message);
		message = NULL;
	}
	if (tools_hear(message, &r, &answer) == TOOLS_ASK)
		answer = ask(c, message, &r);
	if (answer) {
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
		fflush(stdout);
	}
	json_object_put(answer);
	json_object_put(message);
	json_tokener_free(tokener);
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES];
	struct vs_options options;
	struct vs_client *c;
	struct vs_error err;
	if (argc != 1) {
		fprintf(stderr,
			"%s: takes no arguments; it speaks JSON-RPC on its standard input\n",
			argv[0]);
		return 2;
	}
	vs_options_init(&options);
	if (vs_open(&options, &c, &err) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
		return 2;
	}
	int status = 0;
	while (fgets(line, sizeof(line), stdin)) {
		size_t len = strlen(line);
		if (len == sizeof(line) - 1 && line[len - 1] != '\n') {
			fprintf(stderr, "%s: a message is longer than %d bytes\n", argv[0],
				LINE_MAX_BYTES - 2);
			status = 1; /* where the next one begins is not worth guessing */
			break;
		}
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (len)
			handle_line(c, line, len);
	}
	vs_close(c);
	return status;
}
