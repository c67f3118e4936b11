// Elements. Whatever comes from a sandbox enters the page as text here and nowhere else.

// h("td", { class: "x", onclick: f }, "text", child, …): a string is a text node, null is left out.
export function h(name, attributes, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {})) {
		if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
		else if (value === true) e.setAttribute(key, "");
		else if (value !== false && value !== null && value !== undefined) e.setAttribute(key, value);
	}
	e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined));
	return e;
}

const svgns = "http://www.w3.org/2000/svg";
export function svg(name, attributes, ...children) {
	const e = document.createElementNS(svgns, name);
	for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
	e.append(...children);
	return e;
}

// What a text shows instead of characters that would turn the line around or hide in it.
export function shown(value) {
	if (value === null || value === undefined) return "";
	const text = typeof value === "object" ? JSON.stringify(value) : String(value);
	return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
		(c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export function time(iso) {
	if (!iso) return h("span", { class: "dim" }, "–");
	const date = new Date(iso), today = date.toDateString() === new Date().toDateString();
	return h("time", { datetime: iso, title: date.toLocaleString() },
		today ? clock.format(date) : date.toLocaleDateString() + " " + clock.format(date));
}

export function level(risk) {
	return risk >= .8 ? "critical" : risk >= .65 ? "high" : risk >= .4 ? "medium" : "low";
}
export function score(risk) {
	return h("span", { class: "score " + level(risk), title: level(risk) }, (risk ?? 0).toFixed(2));
}
export function badge(word) {
	return h("span", { class: "badge " + String(word).toLowerCase().replace(/[^a-z]/g, "") }, shown(word));
}
// A word of ours, which a narrow column must not break.
export function word(text) {
	return h("span", { class: "word" }, shown(text));
}
export function button(label, onclick, attributes) {
	return h("button", { type: "button", onclick, ...attributes }, label);
}

// A table whose cells carry their column's name: a narrow screen shows rows as cards.
export function table(caption, columns, rows, empty) {
	const body = h("tbody", null, rows);
	const t = h("table", null, h("caption", null, caption),
		h("thead", null, h("tr", null, columns.map((c) => h("th", { scope: "col" }, c)))), body);
	if (!rows.length) body.append(h("tr", { class: "empty" }, h("td", { colspan: columns.length }, empty || "Nothing here yet.")));
	return t;
}
export function row(columns, cells, attributes) {
	return h("tr", attributes, cells.map((cell, i) => h("td", { "data-label": columns[i] }, cell)));
}

// Bars over days, read out as one sentence.
export function bars(label, points, names) {
	const width = 640, height = 140, most = Math.max(1, ...points.map((p) => p.values[0]));
	const step = width / Math.max(points.length, 1);
	const picture = svg("svg", { viewBox: `0 0 ${width} ${height + 18}`, role: "img", class: "bars",
		"aria-label": `${label}: ${points.map((p) => `${p.name} ${p.values[0]}`).join(", ")}` });
	for (const [i, p] of points.entries()) {
		for (const [k, value] of p.values.entries()) {
			const tall = value / most * height;
			const bar = svg("rect", { x: i * step + 1, y: height - tall, width: Math.max(step - 2, 1), height: tall, class: "bar" + k });
			bar.append(svg("title", null, `${p.name}: ${value} ${names[k]}`));
			picture.append(bar);
		}
		if (i % Math.ceil(points.length / 6) === 0)
			picture.append(svg("text", { x: i * step + 1, y: height + 13 }, p.name.slice(5)));
	}
	return h("figure", null, h("figcaption", null, label, h("span", { class: "dim" }, ` most in a day: ${most}`)), picture);
}
export function spark(values, label) {
	const w = 90, t = 18;
	const at = values.map((v, i) => `${(values.length > 1 ? i / (values.length - 1) : 0) * w},${(1 - v) * t}`);
	return svg("svg", { viewBox: `0 -1 ${w} ${t + 2}`, class: "spark", role: "img", "aria-label": label },
		svg("polyline", { points: at.join(" ") }));
}
