// Login, the frame, and which view the address names.
import { get, me, login, logout, listen } from "./api.js";
import { h, button } from "./dom.js";
import * as watch from "./watch.js";
import * as manage from "./manage.js";

const views = {
	sessions: { title: "Sessions", open: watch.sessions },
	session: { open: watch.session, under: "sessions" },
	approvals: { title: "Approvals", open: watch.approvals },
	alerts: { title: "Alerts", open: watch.alerts },
	agents: { title: "Agents", open: manage.agents },
	agent: { open: manage.agent, under: "agents" },
	policies: { title: "Policies", open: manage.policies },
	usage: { title: "Usage", open: manage.usage },
	keys: { title: "Keys", open: manage.keys, admin: true },
};
const at = (id) => document.getElementById(id);
const page = at("view");
let person = null, current = null, source = null;

// What went wrong, until something goes right.
function say(text) {
	at("say").textContent = text || "";
}
// An act of a person: its refusal is shown, a login that ended asks for the key again.
async function attempt(work) {
	try {
		const value = await work();
		say("");
		return value ?? true;
	} catch (error) {
		if (error.status === 401) ask();
		else say(error.message);
		return null;
	}
}

function ask() {
	if (source) source.close();
	source = current = person = null;
	at("top").hidden = true;
	page.removeAttribute("aria-busy");
	say("");
	const key = h("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
	const form = h("form", { class: "login card", onsubmit: async (e) => {
		e.preventDefault();
		if (await attemptLogin(key.value.trim())) start();
	} }, h("h1", null, "vsandbox"), h("label", { for: "key" }, "API key"), key, h("button", { type: "submit", class: "main" }, "Log in"),
	h("p", { class: "dim" }, "The key is exchanged for a login of 12 hours and is not kept in this browser."));
	page.replaceChildren(form);
	key.focus();
}
async function attemptLogin(key) {
	try {
		await login(key);
		return true;
	} catch (error) {
		say(error.message);
		return false;
	}
}

async function counts() {
	const stats = await get("/api/stats");
	for (const [view, n] of [["approvals", stats.pending_approvals], ["alerts", stats.active_alerts]]) {
		const mark = document.querySelector(`#nav a[data-view=${view}] .count`);
		mark.textContent = n || "";
		mark.setAttribute("aria-label", n ? `${n} open` : "");
	}
}

async function route() {
	const [name, ...rest] = location.hash.slice(2).split("/");
	const view = Object.hasOwn(views, name) ? views[name] : views.sessions;
	for (const a of document.querySelectorAll("#nav a"))
		a.toggleAttribute("aria-current", a.dataset.view === (view.under || name));
	document.title = `${view.title || name} · vsandbox`;
	const root = h("div");
	const mine = current = { on: () => {}, key: () => {} };
	page.setAttribute("aria-busy", "true");
	page.replaceChildren(root);
	await attempt(async () => Object.assign(mine, await view.open(root, { args: rest.map(decodeURIComponent), person, attempt, say })));
	if (current === mine) page.removeAttribute("aria-busy");
}

let due = 0;
function countSoon() {
	if (!due && person) due = setTimeout(() => { due = 0; counts().catch(() => {}); }, 300);
}
function happened(kind, data) {
	if (kind === "ended") {
		attempt(me).then((good) => good && setTimeout(stream, 5000));
		return;
	}
	if (current) current.on(kind, data);
	if (kind !== "action") countSoon();
}
function stream() {
	source = listen(happened, (text) => {
		at("link").textContent = text;
		at("link").className = "link " + (text === "live" ? "live" : "away");
	});
}

async function start() {
	try {
		person = await me();
	} catch (error) {
		ask();
		return;
	}
	if (person.role === "agent") {
		await attempt(logout);
		ask();
		say("A key of role 'agent' is for sandboxes: it may not read here.");
		return;
	}
	at("top").hidden = false;
	at("who").textContent = `${person.name} (${person.role})`;
	at("nav").replaceChildren(...Object.entries(views).filter(([, v]) => v.title && (!v.admin || person.role === "admin"))
		.map(([name, v]) => h("a", { href: "#/" + name, "data-view": name }, v.title, h("span", { class: "count" }))));
	stream();
	counts().catch(() => {});
	if (!location.hash) location.hash = "#/sessions";
	else route();
}

at("logout").addEventListener("click", async () => { await attempt(logout); ask(); });
addEventListener("acted", countSoon);
addEventListener("hashchange", () => person && route());
addEventListener("keydown", (e) => {
	if (!current || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea")) return;
	current.key(e);
});
document.querySelector(".skip").addEventListener("click", (e) => { e.preventDefault(); page.focus(); });
start();
