/* The dashboard's files, which are linked into the program (see the Makefile). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"

#define FILE_OF_PAGE(symbol) \
	extern const char _binary_control_dashboard_##symbol##_start[]; \
	extern const char _binary_control_dashboard_##symbol##_end[]
FILE_OF_PAGE(index_html);
FILE_OF_PAGE(style_css);
FILE_OF_PAGE(icon_svg);
FILE_OF_PAGE(app_js);
FILE_OF_PAGE(api_js);
FILE_OF_PAGE(dom_js);
FILE_OF_PAGE(watch_js);
FILE_OF_PAGE(manage_js);

#define ENTRY(name, symbol, type) \
	{ \
		name, type, _binary_control_dashboard_##symbol##_start, \
			_binary_control_dashboard_##symbol##_end \
	}
static const char script[] = "text/javascript; charset=utf-8";
static const struct file {
	const char *name, *type, *start, *end;
} files[] = {
	ENTRY("index.html", index_html, "text/html; charset=utf-8"),
	ENTRY("style.css", style_css, "text/css; charset=utf-8"),
	ENTRY("icon.svg", icon_svg, "image/svg+xml"),
	ENTRY("app.js", app_js, script),
	ENTRY("api.js", api_js, script),
	ENTRY("dom.js", dom_js, script),
	ENTRY("watch.js", watch_js, script),
	ENTRY("manage.js", manage_js, script),
};

static int answer_file(struct call *c, const char *name, struct err *err)
{
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		size_t len = (size_t)(files[i].end - files[i].start);
		c->text = strndup(files[i].start, len);
		c->content_type = files[i].type;
		return c->text ? 0 : err_set(err, ENOMEM, "out of memory");
	}
	return err_set(err, ENOENT, "no such file");
}

int api_page(struct call *c, struct err *err)
{
	return answer_file(c, "index.html", err);
}

int api_page_file(struct call *c, struct err *err)
{
	return answer_file(c, c->id[0], err);
}
