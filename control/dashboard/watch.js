// What happens: sessions, one session, approvals, alerts.
import { call, get } from "./api.js";
import { h, shown, time, score, badge, word, button, table, row, spark } from "./dom.js";

// Calls again at most three times a second (or each @wait ms), however much happens.
export function eased(work, wait = 300) {
	let timer = 0;
	return () => {
		if (!timer) timer = setTimeout(() => { timer = 0; work(); }, wait);
	};
}
const may = (ctx) => ctx.person.role === "admin" || ctx.person.role === "approver";
export const link = (view, id) => h("a", { href: `#/${view}/${encodeURIComponent(id)}` }, shown(id));
const command = (s) => shown((s.command || []).join(" "));

// Sets the content again without taking the keyboard's place away: what had the focus has it after.
export function redraw(place, ...content) {
	const held = place.contains(document.activeElement) ? document.activeElement.dataset.at : null;
	place.replaceChildren(...content.flat().filter((c) => c !== null && c !== undefined));
	if (held) place.querySelector(`[data-at="${CSS.escape(held)}"]`)?.focus();
}

export async function sessions(root, ctx) {
	const place = h("div"), live = h("div");
	root.append(h("h1", null, "Sessions"), place, h("h2", null, "Latest actions"), live);
	const columns = ["Session", "Agent", "State", "Policy", "Host", "Scores", "Pending", "Last seen", "Command"];
	const feed = ["Time", "Agent", "Type", "Resource", "Risk", "Decision"];
	let latest = [], all = [];
	const drawFeed = () => redraw(live, table("The newest actions of all agents", feed,
		latest.slice(0, 30).map((a) => row(feed, [time(a.timestamp), link("agent", a.agent_id), word(a.action_type),
			h("code", null, shown(a.resource)), score(a.risk_score), badge(a.decision)]))));
	const draw = () => {
		redraw(place, table("Sandboxes, newest first", columns, all.map((s) => {
			const risks = latest.filter((a) => a.session_id === s.id).slice(0, 40).map((a) => a.risk_score).reverse();
			return row(columns, [h("a", { href: `#/session/${encodeURIComponent(s.id)}`, "data-at": s.id }, shown(s.id)),
				link("agent", s.agent_id), badge(s.state), shown(s.policy), shown(s.host),
				risks.length ? h("span", null, spark(risks, `last scores of ${s.id}`), score(Math.max(...risks))) : h("span", { class: "dim" }, "–"),
				s.pending_approvals ? h("a", { href: "#/approvals", class: "badge pause" }, String(s.pending_approvals)) : "0",
				time(s.last_seen), h("code", { class: "clip" }, command(s))]);
		}), "No sandbox reported here yet."));
		drawFeed();
	};
	const load = () => ctx.attempt(async () => {
		[all, latest] = await Promise.all([get("/api/sessions?limit=100"), get("/api/actions?limit=500")]);
		draw();
	});
	const soon = eased(load), soonFeed = eased(drawFeed);
	await load();
	return { on(kind, data) {
		if (kind !== "action") return soon();
		if (latest.some((a) => a.id === data.id)) return;
		latest.unshift(data);
		latest.length = Math.min(latest.length, 500);
		soonFeed();
	} };
}

const outside = { network_request: "Hosts", api_call: "Hosts", database_query: "Statements", database_write: "Statements", database_read: "Statements" };

// What left the sandbox: it stays when files are rolled back.
function effects(list) {
	const groups = { Hosts: new Map(), Statements: new Map() };
	for (const a of list) {
		const group = groups[outside[a.action_type]];
		if (!group) continue;
		const seen = group.get(a.resource) || { n: 0, refused: 0, risk: 0 };
		seen.n++;
		seen.refused += a.decision === "BLOCK";
		seen.risk = Math.max(seen.risk, a.risk_score);
		group.set(a.resource, seen);
	}
	const columns = ["What", "Times", "Blocked", "Risk"];
	return Object.entries(groups).map(([name, group]) => table(name === "Hosts" ? "Hosts" : "Database statements", columns,
		[...group].map(([what, s]) => row(columns, [h("code", null, shown(what)), String(s.n), String(s.refused), score(s.risk)])), "None."));
}

// What ran what: a program under the one that started it, with what each did itself.
function processes(list) {
	const root = { below: new Map() };
	const enter = (node, name) => {
		if (!node.below.has(name)) node.below.set(name, { name, below: new Map(), pids: new Set(), n: 0, refused: 0, risk: 0 });
		return node.below.get(name);
	};
	for (const a of list) {
		const p = a.payload;
		if (!p || typeof p.program !== "string" || !p.program) continue;
		const above = (Array.isArray(p.ancestry) ? p.ancestry : []).filter(Boolean).reverse();
		const node = [...above, p.program].reduce(enter, root);
		node.pids.add(p.pid);
		node.n++;
		node.refused += a.decision === "BLOCK";
		node.risk = Math.max(node.risk, a.risk_score);
	}
	const branch = (node) => h("li", null, h("code", null, shown(node.name)), " ", node.n ? [score(node.risk), h("span", { class: "dim" },
		` ${node.n} actions${node.refused ? `, ${node.refused} blocked` : ""}, pid ${[...node.pids].slice(0, 8).map(shown).join(" ")}${node.pids.size > 8 ? " …" : ""}`)] : null,
	node.below.size ? h("ul", null, [...node.below.values()].map(branch)) : null);
	return root.below.size ? h("ul", { class: "tree", "aria-label": "Process tree" }, [...root.below.values()].map(branch))
		: h("p", { class: "empty" }, "No action named its program.");
}

// What a sandbox answers with when it is asked for a difference.
async function ask(id, path) {
	const answer = await get(`/api/sessions/${encodeURIComponent(id)}/diff` + (path ? `?path=${encodeURIComponent(path)}` : ""));
	return path ? answer.diff ?? "" : answer.changes ?? [];
}
function fill(pre, text) {
	pre.replaceChildren(...text.split("\n").map((line) => h("span", { class: line[0] === "+" ? "plus" : line[0] === "-" ? "minus" : null },
		line.split("\t").map(shown).join("\t") + "\n")));
	pre.hidden = false;
}

function changed(s, ctx, diff, take) {
	const list = s.listed ?? (Array.isArray(s.changes) ? s.changes : []);
	const columns = ["Path", "Change", "Written by", ""], asked = may(ctx) && (!s.ended_at || Date.parse(s.info?.settle_until) > Date.now());
	const show = (path) => ctx.attempt(async () => fill(diff, await ask(s.id, path)));
	const look = () => ctx.attempt(async () => take(await ask(s.id)));
	return [table("Changed files", columns, list.map((c) => row(columns, [h("code", null, shown(c.path)), shown(c.kind ?? c.change ?? ""),
		c.program ? h("span", null, h("code", null, shown(c.program)), h("span", { class: "dim" }, ` pid ${shown(c.pid)}`)) : "",
		asked ? button("Diff", () => show(c.path), { "data-at": c.path, "aria-label": `Difference of ${shown(c.path)}` }) : ""])), "None reported."),
	asked ? h("p", null, button("List changes now", look, { "data-at": "look" })) : null];
}

export async function session(root, ctx) {
	const id = ctx.args[0], path = `/api/sessions/${encodeURIComponent(id)}`;
	const head = h("div"), acts = h("div", { class: "acts", role: "group", "aria-label": "Commands" }), files = h("div"), outer = h("div", { class: "two" }), line = h("div"), tree = h("div");
	const diff = h("pre", { class: "diff", tabindex: "0", hidden: true, "aria-label": "Difference" });
	root.append(head, acts, line, h("h2", null, "Processes"), h("p", { class: "dim" }, "Of the last 1000 actions."), tree, files, diff, h("h2", null, "Effects outside"), h("p", { class: "dim" }, "Of the last 1000 actions. A rollback of files does not reverse them."), outer);
	const columns = ["Time", "Type", "Resource", "Risk", "Decision", "Why"];
	let s = null, actions = [], busy = false;
	async function command1(name, work) {
		if (busy) return;
		if (["kill", "rollback", "commit", "discard"].includes(name) && !confirm(`Really ${name} session ${id}?`)) return;
		busy = true;
		const answer = await ctx.attempt(work);
		busy = false;
		if (answer) ctx.say("");
		load();
	}
	const order = (name) => button(name[0].toUpperCase() + name.slice(1), () => command1(name, () => call("POST", path + "/control", { command: name })), { "data-at": name });
	const draw = () => {
		redraw(head, h("h1", null, "Session ", shown(id)), h("p", { class: "facts" }, badge(s.state), " ", link("agent", s.agent_id),
			h("span", null, "policy ", shown(s.policy) || "–"), h("span", null, "host ", shown(s.host)), h("span", null, "started ", time(s.started_at)),
			s.ended_at ? h("span", null, "ended ", time(s.ended_at), ` with ${s.exit_code ?? "no code"}`) : null,
			s.pending_approvals ? h("a", { href: "#/approvals" }, `${s.pending_approvals} pending`) : null,
			s.info?.orders ? h("span", null, "profile ", badge(s.info.orders.enforced ? "enforced" : "not enforced")) : null),
		s.info?.orders?.error ? h("p", null, "The profile is not enforced here: ", shown(s.info.orders.error)) : null,
		(s.info?.orders?.unenforced || []).map((w) => h("p", null, "Not enforced here: ", shown(w))),
		h("p", null, h("code", null, (s.command || []).map(shown).join(" "))));
		const undo = button("Rollback", () => {
			const n = Number(prompt("How many of the agent's last actions shall be reversed?", "1"));
			if (Number.isInteger(n) && n > 0)
				command1("rollback", () => call("POST", "/api/rollback", { agent_id: s.agent_id, n_actions: n, reason: "dashboard" }));
		}, { "data-at": "rollback" });
		redraw(acts, ...(may(ctx) && !s.ended_at ? [order("pause"), order("resume"), undo, order("kill")]
			: may(ctx) && Date.parse(s.info?.settle_until) > Date.now() ? [order("commit"), order("discard")] : []));
		drawFiles();
		drawLine();
	};
	const drawFiles = () => redraw(files, changed(s, ctx, diff, (list) => {
		s.listed = list; // of the session as it is by now: it may have been loaded again while its sandbox answered
		drawFiles();
	}));
	const drawLine = () => {
		redraw(tree, processes(actions));
		redraw(line, h("p", null, spark(actions.slice(0, 100).map((a) => a.risk_score).reverse(), "scores of the last actions")),
			table("Timeline, newest first", columns, actions.slice(0, 300).map((a) => row(columns, [time(a.timestamp), word(a.action_type),
				h("code", null, shown(a.resource)), score(a.risk_score), badge(a.rolled_back ? "rolled back" : a.decision), shown(a.flag_reason)]))));
		redraw(outer, ...effects(actions));
	};
	const load = () => ctx.attempt(async () => {
		const [now, list] = await Promise.all([get(path), get(`/api/actions?limit=1000&session_id=${encodeURIComponent(id)}`)]);
		if (s?.listed && !now.ended_at) now.listed = s.listed; // newer than what it reported
		[s, actions] = [now, list];
		draw();
	});
	const soon = eased(load), soonLine = eased(drawLine), soonWhole = eased(load, 2000); // the stream does not say who acted
	await load();
	return { on(kind, data) {
		if (kind === "action" && s) {
			if (data.session_id !== id || actions.some((a) => a.id === data.id)) return;
			actions.unshift(data);
			soonLine();
			soonWhole();
		} else soon();
	} };
}

export async function approvals(root, ctx) {
	const place = h("div");
	root.append(h("h1", null, "Approvals"), h("p", { class: "dim" }, "Keys: ", h("kbd", null, "j"), " ", h("kbd", null, "k"),
		" choose, ", h("kbd", null, "a"), " allow once, ", h("kbd", null, "d"), " deny."), place);
	let all = [], chosen = null;
	const busy = new Set(), diffs = new Map();
	async function decide(a, decision, scope) {
		if (!a || busy.has(a.id) || !may(ctx)) return;
		busy.add(a.id);
		draw();
		await ctx.attempt(() => call("POST", `/api/approvals/${a.id}`, { decision, scope }));
		busy.delete(a.id);
		load();
	}
	const draw = () => redraw(place, all.length ? h("ul", { class: "cards", "aria-label": "Pending approvals" }, all.map((a) => {
		const scope = h("select", { "aria-label": "For how long", "data-at": `scope${a.id}` }, ["once", "session", "always"].map((w) => h("option", null, w)));
		const request = a.request || {}, pre = h("pre", { class: "diff", tabindex: "0", hidden: true, "aria-label": "What was changed so far" });
		const file = String(request.type).startsWith("file_") && request.resource;
		if (diffs.has(a.id)) fill(pre, diffs.get(a.id));
		return h("li", { class: "card", tabindex: "0", "data-at": `card${a.id}`, "aria-current": a.id === chosen ? "true" : null, "aria-busy": busy.has(a.id) ? "true" : null,
			onfocus: () => { chosen = a.id; for (const c of place.querySelectorAll(".card")) c.toggleAttribute("aria-current", c.dataset.at === `card${a.id}`); } },
		h("p", null, h("strong", null, shown(request.type ?? request.action ?? "action")), " ", h("code", null, shown(request.resource ?? "")),
			typeof request.score === "number" ? [" ", score(request.score)] : null),
		h("dl", null, Object.entries(request).filter(([k]) => !["type", "action", "resource", "score"].includes(k)).map(([k, v]) => [h("dt", null, shown(k)), h("dd", null, shown(v))])),
		pre,
		h("p", { class: "facts" }, link("agent", a.agent_id), link("session", a.session_id), h("span", null, "since ", time(a.created_at))),
		may(ctx) ? h("div", { class: "acts" }, scope, file ? button("Changed so far", () => ctx.attempt(async () => {
			diffs.set(a.id, await ask(a.session_id, request.resource) || "Nothing was changed there yet.");
			fill(pre, diffs.get(a.id));
		}), { "data-at": `diff${a.id}`, "aria-label": `What was changed in ${shown(request.resource)} so far` }) : null,
			button("Allow", () => decide(a, "allow", scope.value), { class: "main", disabled: busy.has(a.id), "data-at": `allow${a.id}` }),
			button("Deny", () => decide(a, "deny", scope.value), { class: "danger", disabled: busy.has(a.id), "data-at": `deny${a.id}` })) : null);
	})) : h("p", { class: "empty" }, "Nothing waits for you."));
	const load = () => ctx.attempt(async () => {
		const fresh = await get("/api/approvals?limit=200");
		// a list that is as it was keeps what a person has half chosen in it
		if (fresh.length && !busy.size && place.firstChild && JSON.stringify(fresh) === JSON.stringify(all) && !place.querySelector("[aria-busy]")) return;
		all = fresh;
		if (!all.some((a) => a.id === chosen)) chosen = all.length ? all[0].id : null;
		draw();
	});
	const soon = eased(load);
	await load();
	return {
		on(kind) { if (kind !== "action" && kind !== "alert") soon(); },
		key(e) {
			const i = all.findIndex((a) => a.id === chosen);
			const next = e.key === "j" ? all[i + 1] : e.key === "k" ? all[i - 1] : null;
			if (next) place.querySelector(`[data-at="card${next.id}"]`).focus();
			else if (e.key === "a") decide(all[i], "allow", "once");
			else if (e.key === "d") decide(all[i], "deny", "once");
			else return;
			e.preventDefault();
		},
	};
}

export async function alerts(root, ctx) {
	const place = h("div"), old = h("input", { type: "checkbox", id: "old" });
	const columns = ["Time", "Level", "Agent", "Message", "Actions", "Source", ""];
	root.append(h("h1", null, "Alerts"), h("p", null, old, " ", h("label", { for: "old" }, "show acknowledged ones")), place);
	const load = () => ctx.attempt(async () => {
		const all = await get("/api/alerts?limit=200&acknowledged=" + old.checked);
		redraw(place, table("Alerts, newest first", columns, all.map((a) => row(columns, [time(a.created_at), badge(a.level), link("agent", a.agent_id),
			h("span", null, shown(a.message), a.session_id ? [" ", link("session", a.session_id)] : null),
			a.count > 1 ? h("span", { title: "counted under this alert, and when the last was" }, h("strong", null, `× ${a.count}`),
				" ", h("span", { class: "dim" }, "until ", time(a.last_at))) : a.action_id ? "1" : "",
			shown(a.source), a.acknowledged || !may(ctx) ? "" : button("Acknowledge", async () => {
				await ctx.attempt(() => call("PATCH", `/api/alerts/${a.id}/acknowledge`));
				load();
			}, { "data-at": a.id, "aria-label": `Acknowledge: ${shown(a.message)}` })])), "None."));
	});
	const soon = eased(load), counted = eased(load, 2000); // the stream tells of actions, not of what they are counted under
	old.addEventListener("change", load);
	await load();
	return { on(kind, data) {
		if (kind === "alert" || kind === "open" || kind === "gap") soon();
		else if (kind === "action" && data.flag_reason) counted();
	} };
}
