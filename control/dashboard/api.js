// Talking to the server: calls with the token that proves that this page sent them, and the stream.
let token = null;
export class Refused extends Error {
	constructor(status, detail) {
		super(typeof detail === "string" ? detail
			: (detail || []).map((d) => `${(d.loc || []).slice(1).join(".")}: ${d.msg}`).join("; ") || `status ${status}`);
		this.status = status;
	}
}

export async function call(method, path, body) {
	const headers = { "Content-Type": "application/json" };
	if (token) headers["x-csrf-token"] = token;
	const answer = await fetch(path, { method, headers, credentials: "same-origin",
		body: method === "GET" ? undefined : JSON.stringify(body ?? {}) });
	const value = await answer.json().catch(() => null);
	if (method !== "GET") dispatchEvent(new Event("acted"));
	if (!answer.ok) throw new Refused(answer.status, value && value.detail);
	return value;
}
export const get = (path) => call("GET", path);

async function known(me) {
	token = (await me).csrf_token;
	return me;
}
export const me = () => known(get("/api/me"));
export const login = (key) => known(call("POST", "/api/login", { key }));
export async function logout() {
	await call("POST", "/api/logout");
	token = null;
}

// One stream for all views. on(kind, data); kinds "open" and "gap" mean: read your lists again.
export function listen(on, state) {
	const source = new EventSource("/api/events");
	source.onopen = () => { state("live"); on("open", null); };
	source.onerror = () => {
		state(source.readyState === EventSource.CLOSED ? "ended" : "reconnecting…");
		if (source.readyState === EventSource.CLOSED) on("ended", null);
	};
	for (const kind of ["action", "alert", "approval", "session", "command", "gap"])
		source.addEventListener(kind, (e) => on(kind, JSON.parse(e.data)));
	return source;
}
