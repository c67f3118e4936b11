// What shall be: agents and their profiles, policies, keys; and what was used.
import { call, get } from "./api.js";
import { h, shown, time, score, badge, word, button, table, row, bars } from "./dom.js";
import { redraw, eased, link } from "./watch.js";

const types = ["file_read", "file_write", "file_delete", "api_call", "database_query", "database_write", "code_execution", "network_request"];
const admin = (ctx) => ctx.person.role === "admin";
const judge = (ctx) => admin(ctx) || ctx.person.role === "approver";
const field = (label, input, hint) => h("label", { class: "field" }, h("span", null, label), input, hint ? h("small", { class: "dim" }, hint) : null);
const number = (text) => text.trim() === "" ? null : Number(text);

export async function agents(root, ctx) {
	const place = h("div");
	const columns = ["Agent", "State", "Risk", "Actions", "Flagged", "Rolled back", "Last seen", ""];
	root.append(h("h1", null, "Agents"), place);
	const load = () => ctx.attempt(async () => {
		const all = await get("/api/agents?limit=500");
		redraw(place, table("Agents", columns, all.map((a) => row(columns, [
			h("span", null, link("agent", a.agent_id), a.name !== a.agent_id ? h("span", { class: "dim" }, " ", shown(a.name)) : null),
			badge(a.terminated ? "terminated" : a.paused ? "paused" : "active"), score(a.avg_risk_score), String(a.total_actions),
			String(a.flagged_actions), String(a.rolled_back_actions), time(a.last_seen),
			judge(ctx) ? button(a.paused ? "Resume" : "Pause", async () => {
				await ctx.attempt(() => call("PATCH", `/api/agents/${a.id}`, { paused: !a.paused }));
				load();
			}, { "data-at": a.id, "aria-label": `${a.paused ? "Resume" : "Pause"} ${shown(a.name)}` }) : ""]))));
	});
	await load();
	return { on: eased(load) };
}

export async function agent(root, ctx) {
	const id = ctx.args[0];
	const a = (await get("/api/agents?limit=1000")).find((x) => x.agent_id === id);
	root.append(h("h1", null, "Agent ", shown(id)));
	if (!a) {
		root.append(h("p", null, "This agent is not among the newest 1000."));
		return {};
	}
	root.append(h("p", { class: "facts" }, badge(a.terminated ? "terminated" : a.paused ? "paused" : "active"), h("span", null, shown(a.name)),
		h("span", null, `${a.total_actions} actions`), h("span", null, "average risk ", score(a.avg_risk_score))));
	const lines = (value) => h("textarea", { rows: "4", spellcheck: "false" }, (value || []).join("\n"));
	const list = (area) => {
		const all = area.value.split("\n").map((l) => l.trim()).filter(Boolean);
		return all.length ? all : null;
	};
	const boxes = types.map((t) => h("input", { type: "checkbox", value: t, checked: (a.allowed_action_types || []).includes(t) }));
	const allowed = lines(a.allowed_resources), blocked = lines(a.blocked_resources);
	const rate = h("input", { type: "number", min: "1", value: a.max_actions_per_minute ?? "" });
	const risk = h("input", { type: "number", min: "0", max: "1", step: "0.01", value: a.max_risk_score ?? "" });
	const done = h("span", { role: "status", class: "dim" });
	root.append(h("form", { class: "card", id: "profile", "aria-label": "Profile", onsubmit: async (e) => {
		e.preventDefault();
		const chosen = boxes.filter((b) => b.checked).map((b) => b.value);
		done.textContent = "";
		if (await ctx.attempt(() => call("PATCH", `/api/agents/${encodeURIComponent(a.id)}/profile`, {
			allowed_action_types: chosen.length ? chosen : null, allowed_resources: list(allowed), blocked_resources: list(blocked),
			max_actions_per_minute: number(rate.value), max_risk_score: number(risk.value) })))
			done.textContent = "Saved. It holds from the next action on.";
	} }, h("h2", null, "Profile"), h("fieldset", { disabled: !admin(ctx) },
		h("fieldset", { class: "types" }, h("legend", null, "Allowed action types (none chosen: all)"), boxes.map((b) => h("label", null, b, " ", b.value))),
		field("Allowed resources", allowed, "one pattern a line; empty: all"), field("Blocked resources", blocked, "one pattern a line"),
		field("Most actions a minute", rate, "empty: no limit"), field("Highest risk", risk, "0 to 1; empty: no limit"),
		admin(ctx) ? h("div", { class: "acts" }, h("button", { type: "submit", class: "main" }, "Save profile"), done) : null)));
	const columns = ["Time", "Type", "Resource", "Risk", "Decision"], place = h("div");
	root.append(place);
	const load = () => ctx.attempt(async () => {
		const all = await get(`/api/actions?limit=50&agent_id=${encodeURIComponent(id)}`);
		redraw(place, table("Latest actions", columns, all.map((x) => row(columns, [time(x.timestamp), word(x.action_type),
			h("code", null, shown(x.resource)), score(x.risk_score), badge(x.decision)]))));
	});
	const soon = eased(load);
	await load();
	return { on(kind, data) { if (kind !== "action" || data.agent_id === id) soon(); } };
}

export async function policies(root, ctx) {
	const place = h("div");
	const columns = ["Priority", "Name", "Effect", "Type", "Resource", "Above risk", "When", ""];
	root.append(h("h1", null, "Policies"), h("p", { class: "dim" }, "The highest priority that matches decides; among equals the strictest."), place);
	const load = () => ctx.attempt(async () => {
		const all = await get("/api/policies");
		const change = (p, body) => ctx.attempt(() => call("PATCH", `/api/policies/${p.id}`, body)).then(load);
		redraw(place, table("Rules for all agents", columns, all.map((p) => row(columns, [
			admin(ctx) ? h("input", { type: "number", value: p.priority, class: "narrow", "aria-label": `Priority of ${shown(p.name)}`, "data-at": `p${p.id}`,
				onchange: (e) => change(p, { priority: Number(e.target.value) }) }) : String(p.priority),
			shown(p.name), badge(p.effect), p.action_type || "any", h("code", null, shown(p.resource_pattern || "*")), p.max_risk_score === null ? "–" : String(p.max_risk_score),
			shown([p.time_start && `${p.time_start}–${p.time_end}`, (p.days_allowed || []).join(" ")].filter(Boolean).join(", ")) || "always",
			admin(ctx) ? h("span", { class: "acts" }, button(p.enabled ? "Disable" : "Enable", () => change(p, { enabled: !p.enabled }), { "data-at": `e${p.id}`, "aria-label": `${p.enabled ? "Disable" : "Enable"} ${shown(p.name)}` }),
				button("Delete", () => confirm(`Delete the policy ${p.name}?`) && ctx.attempt(() => call("DELETE", `/api/policies/${p.id}`)).then(load), { class: "danger", "data-at": `d${p.id}`, "aria-label": `Delete ${shown(p.name)}` })) : ""],
		{ class: p.enabled ? null : "off" })), "No policy yet: profiles and the default alone decide."));
	});
	if (admin(ctx)) {
		const name = h("input", { required: true, maxlength: "255" }), effect = h("select", null, ["block", "pause", "allow"].map((w) => h("option", null, w)));
		const type = h("select", null, h("option", { value: "" }, "any"), types.map((t) => h("option", null, t)));
		const pattern = h("input", { placeholder: "*", spellcheck: "false" }), risk = h("input", { type: "number", min: "0", max: "1", step: "0.01" });
		const priority = h("input", { type: "number", value: "0" }), trial = h("div", { role: "status" });
		const typed = () => ({ name: name.value || "test", effect: effect.value, action_type: type.value || null,
			resource_pattern: pattern.value || null, max_risk_score: number(risk.value), priority: number(priority.value) ?? 0 });
		const hits = ["Time", "Agent", "Type", "Resource", "Risk", "Decision"];
		const test = () => ctx.attempt(async () => {
			const t = await call("POST", "/api/policies/test", typed());
			trial.replaceChildren(h("p", null, `Of the last ${t.tried} actions it matches ${t.matched}; ${t.changed} of them were decided otherwise.`),
				table("Those it matches, newest first", hits, t.actions.map((a) => row(hits, [time(a.timestamp), link("agent", a.agent_id), word(a.action_type),
					h("code", null, shown(a.resource)), score(a.risk_score), badge(a.decision)]))));
		});
		const form = h("form", { class: "card grid", "aria-label": "New policy", onsubmit: async (e) => {
			e.preventDefault();
			if (await ctx.attempt(() => call("POST", "/api/policies", typed()))) {
				form.reset();
				trial.replaceChildren();
				load();
			}
		} }, field("Name", name), field("Effect", effect), field("Action type", type), field("Resource", pattern), field("Above risk", risk), field("Priority", priority),
		h("div", { class: "acts" }, h("button", { type: "submit", class: "main" }, "Create policy"), button("Test against recorded actions", test)));
		root.append(h("h2", null, "New policy"), form, trial);
	}
	await load();
	return { on(kind) { if (kind === "open") load(); } };
}

export async function usage(root, ctx) {
	const place = h("div");
	root.append(h("h1", null, "Usage"), place);
	const load = () => ctx.attempt(async () => {
		const [stats, use] = await Promise.all([get("/api/stats"), get("/api/usage")]);
		const known = new Map(use.daily_breakdown.map((d) => [d.date, d])), days = [];
		for (let i = use.days - 1; i >= 0; i--) {
			const date = new Date(Date.now() - i * 86400000).toISOString().slice(0, 10);
			days.push(known.get(date) || { date, actions: 0, flagged: 0, blocked: 0 });
		}
		const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0) || 1;
		const shares = (label, o, order = Object.keys(o).sort((a, b) => o[b] - o[a])) => h("figure", null, h("figcaption", null, label), h("table", { class: "shares" }, h("tbody", null,
			order.map((k) => [k, o[k] ?? 0]).map(([k, n]) => h("tr", null, h("th", { scope: "row" }, shown(k)),
				h("td", null, h("meter", { min: "0", max: String(sum(o)), value: String(n), "aria-label": `${shown(k)}: ${n}` })), h("td", { class: "n" }, String(n)))))));
		redraw(place, h("div", { class: "tiles" }, [["Agents", stats.total_agents], ["Actions", stats.total_actions], ["Flagged", stats.flagged_actions],
			["Rolled back", stats.rolled_back_actions], ["Open alerts", stats.active_alerts], ["Running", stats.running_sessions]]
			.map(([name, n]) => h("div", { class: "card tile" }, h("strong", null, n.toLocaleString()), h("span", { class: "dim" }, name)))),
		h("div", { class: "two" }, bars("Actions a day (UTC)", days.map((d) => ({ name: d.date, values: [d.actions, d.flagged, d.blocked] })), ["actions", "flagged", "blocked"]),
			shares("Risk", stats.risk_distribution, ["critical", "high", "medium", "low"]), shares("Types", use.by_type), shares("Decisions", use.by_decision)));
	});
	await load();
	return { on(kind) { if (kind === "open" || kind === "gap") load(); } };
}

export async function keys(root, ctx) {
	const place = h("div"), fresh = h("div", { role: "status" });
	const columns = ["Name", "Role", "Created", "Revoked", ""];
	const name = h("input", { required: true, maxlength: "127" }), role = h("select", null, ["agent", "viewer", "approver", "admin"].map((w) => h("option", null, w)));
	root.append(h("h1", null, "Keys"), place, h("h2", null, "New key"));
	const load = () => ctx.attempt(async () => {
		const all = await get("/api/keys");
		redraw(place, table("Keys, newest first", columns, all.map((k) => row(columns, [shown(k.name), badge(k.role), time(k.created_at), time(k.revoked_at),
			k.revoked_at ? "" : button("Revoke", () => confirm(`Revoke the key ${k.name}? What uses it stops working.`)
				&& ctx.attempt(() => call("DELETE", `/api/keys/${k.id}`)).then(load), { class: "danger", "data-at": k.id, "aria-label": `Revoke ${shown(k.name)}` })],
		{ class: k.revoked_at ? "off" : null }))));
	});
	const form = h("form", { class: "card grid", "aria-label": "New key", onsubmit: async (e) => {
		e.preventDefault();
		const made = await ctx.attempt(() => call("POST", "/api/keys", { name: name.value, role: role.value }));
		if (!made) return;
		fresh.replaceChildren(h("p", null, "This key is shown now and never again:"), h("code", { class: "secret", tabindex: "0" }, made.key));
		form.reset();
		load();
	} }, field("Name", name), field("Role", role), h("button", { type: "submit", class: "main" }, "Create key"));
	root.append(form, fresh);
	await load();
	return {};
}
