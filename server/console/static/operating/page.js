// Whether it will work tomorrow: health, breakers, tasks, storage, settings, the deploy check, keys, the audit log.
import { get, post, remove } from "../api.js";
import { button, el, find, icon, put } from "../dom.js";
import { count, many, moment, pairs } from "../insight/format.js";
import { lanes } from "../insight/plots.js";
import { calmly } from "../insight/lists.js";
import { confirmed, copier, dialog, duration, empty, failure, json, loading, pill, report, size, table, tabs, time, toast } from "../ui.js";

const place = find("#operating");
const admin = place.dataset.admin === "true";

/** What a route gives, drawn; `draw` is given a function that reads it again. */
function part(path, draw, given) {
  const shown = el("div.stack", {}, loading());
  const read = async () => {
    try {
      put(shown, draw(await get(path, given?.()), read));
    } catch (problem) {
      put(shown, failure(problem, read));
    }
  };
  read();
  return shown;
}

async function doing(work, again, said) {
  try {
    await work();
    if (said) await dialog("Done", el("p", {}, said));
    again();
  } catch (problem) {
    report(problem);
  }
}

function health(found) {
  const rows = [...Object.entries(found.modules), ...Object.entries(found.platform)].map(([name, each]) => ({ name, ...each }));
  const order = { failed: 0, degraded: 1, healthy: 2 };
  rows.sort((a, b) => order[a.state] - order[b.state]);
  const item = (row) =>
    el("li.card.stack.close", {}, el("div.row", {}, el("b.grow", {}, row.name), pill(row.state)), row.reason ? el("p", {}, row.reason) : null, row.since ? el("p.muted.small", {}, `${row.state} since `, time(row.since)) : null, Object.keys(row.details).length ? el("details", {}, el("summary.small.muted", {}, icon("right"), "Details"), json(row.details)) : null);
  return el("div.stack", {}, el("p.row", {}, pill(found.status), found.draining ? pill("waiting", "draining") : null, el("span.muted", {}, found.status === "healthy" ? "A turn works now, with every part." : "What does not work stands first.")), el("ul.plain.tiles", { "aria-label": "Modules and what they lean on" }, rows.map(item)));
}

function breakers(rows, again) {
  if (!rows.length) return empty("No breaker has opened", "Everything that is called has answered often enough.");
  const reset = async (target) => {
    await doing(() => post("/breakers/reset", { target }), again);
    toast(`The next call to ${target} goes through.`);
  };
  const columns = [
    { name: "Target", cell: (row) => el("code", {}, `${row.kind}:${row.name}`) },
    { name: "State", cell: (row) => pill(row.state.replace("_", " ")) },
    { name: "Since", cell: (row) => time(row.since) },
    { name: "Failed", number: true, cell: (row) => `${row.failures} of ${row.calls}` },
    { name: "Why", cell: (row) => row.reason },
    { name: "", cell: (row) => (row.state === "closed" ? "" : button("Reset", { kind: "tiny", onclick: () => reset(`${row.kind}:${row.name}`) })) },
  ];
  return el("div.stack", {}, table(columns, rows, "Breakers"));
}

function schedules(rows, begun) {
  const run = async (row) => {
    const names = Object.keys(row.arguments);
    const fields = names.map((name) => el("label.field", {}, el("span", {}, name), el("input", { name })));
    if (names.length && (await dialog(row.name, fields, [{ text: "Cancel", value: "" }, { text: "Run", value: "yes", kind: "primary" }])) !== "yes") return;
    const given = Object.fromEntries(fields.map((each, at) => [names[at], each.querySelector("input").value]).filter(([, value]) => value));
    doing(() => post("/tasks", { name: row.name, arguments: given }), begun);
  };
  const columns = [
    { name: "Task", cell: (row) => el("code", {}, row.name) },
    { name: "When", cell: (row) => (row.cron ? el("code", {}, row.cron) : el("span.muted", {}, "when asked for")) },
    { name: "Next", cell: (row) => (row.next_at ? time(row.next_at) : "") },
    { name: "", cell: (row) => button("Run now", { kind: "tiny", label: `Run now: ${row.name}`, onclick: () => run(row) }) },
  ];
  return table(columns, rows, "Tasks that there are");
}

function tasks(rows, again) {
  if (!rows.length) return empty("No tasks yet");
  const open = (row) => ["queued", "running"].includes(row.status);
  const cancel = (row) => doing(() => post(`/tasks/${encodeURIComponent(row.id)}/cancel`), again);
  const columns = [
    { name: "Task", cell: (row) => el("code", {}, row.name) },
    { name: "Status", cell: (row) => pill(row.status) },
    { name: "Progress", cell: (row) => (row.progress === null ? row.message : `${row.progress}${row.total ? ` of ${row.total}` : ""} ${row.message}`) },
    { name: "Due", cell: (row) => time(row.due_at) },
    { name: "Took", number: true, cell: (row) => (row.ended_at && row.started_at ? duration(new Date(row.ended_at) - new Date(row.started_at)) : "") },
    { name: "Error", cell: (row) => row.error },
    { name: "", cell: (row) => (open(row) ? button("Cancel", { kind: "tiny", onclick: () => cancel(row) }) : "") },
  ];
  return table(columns, rows, "Newest tasks");
}

function background() {
  const newest = el("div.stack", {}, loading());
  const read = async () => {
    try {
      const rows = await get("/tasks", { limit: 50 });
      put(newest, tasks(rows, read));
      // What goes on is looked at again until it has ended.
      if (rows.some((row) => ["queued", "running"].includes(row.status) && new Date(row.due_at) <= Date.now()) && newest.isConnected) setTimeout(read, 2000);
    } catch (problem) {
      put(newest, failure(problem, read));
    }
  };
  read();
  return el("div.stack", {}, part("/tasks/known", (rows) => schedules(rows, read)), el("h2", {}, "Newest"), newest, el("h2", {}, "Your planned runs"), part("/plans", plans));
}

function plans(rows, again) {
  if (!rows.length) return el("p.muted", {}, "You have planned none.");
  const columns = [{ name: "When", cell: (row) => el("code", {}, row.schedule) }, { name: "Zone", cell: (row) => row.timezone ?? "UTC" }, { name: "Next", cell: (row) => (row.next_at ? time(row.next_at) : "") }, { name: "", cell: (row) => button("Delete", { kind: "tiny danger", onclick: () => doing(() => remove(`/plans/${encodeURIComponent(row.id)}`), again) }) }];
  return table(columns, rows, "Planned runs");
}

function storage({ threads, totals, duration_ms: took }) {
  const kinds = Object.entries(totals.bytes).filter(([name]) => name !== "total");
  const figures = [["threads", count(totals.threads)], ["checkpoints", count(totals.checkpoints)], ["in rows", size(totals.bytes.total)], ["on disk", size(totals.database_bytes)], ["free in it", totals.free_bytes === null ? "–" : size(totals.free_bytes)]];
  const rows = threads.map((row) => ({ key: row.title || row.thread_id, value: row.bytes.total, shown: size(row.bytes.total), said: `${row.owner || "deleted"}: ${row.thread_id}, ${many(row.turns, "turn")}, ${many(row.checkpoints, "checkpoint")}` }));
  return el("div.stack", {}, el("div.numbers", {}, figures.map(([name, number]) => el("div.figure", {}, el("b", {}, number), el("span", {}, name)))), el("div.sides", {}, el("section.card.stack.close", {}, el("h2", {}, "By kind"), lanes(kinds.map(([key, value]) => ({ key, value, shown: size(value), said: key })), { label: "By kind" })), el("section.card.stack.close", {}, el("h2", {}, "Largest threads"), lanes(rows, { label: "Largest threads" }))), el("p.muted.small", {}, `Every row's length was read, in ${duration(took)}.`));
}

function settings() {
  const field = el("input", { type: "search", "aria-label": "Part of a key", placeholder: "limits, url, …" });
  const changed = el("input", { type: "checkbox" });
  const rows = el("div", {});
  let found = [];
  const draw = () => {
    const wanted = field.value.toLowerCase();
    const shown = found.filter((row) => row.key.toLowerCase().includes(wanted) && (!changed.checked || row.origin !== "default"));
    const columns = [{ name: "Key", cell: (row) => el("code", {}, row.key) }, { name: "Value", cell: (row) => el("code.long", {}, row.value === null ? "–" : JSON.stringify(row.value)) }, { name: "From", cell: (row) => (row.origin === "default" ? el("span.muted", {}, "default") : row.origin) }];
    put(rows, shown.length ? table(columns, shown, "Effective settings") : empty("No such setting"));
  };
  field.addEventListener("input", calmly(draw, 120));
  changed.addEventListener("change", draw);
  const read = part("/settings", (all) => {
    found = all;
    draw();
    return rows;
  });
  return el("div.stack", {}, el("div.filters", {}, field, el("label.choice", {}, changed, "Only what somebody has set")), read);
}

function deploy(found) {
  const worth = found.threads.filter((row) => row.breaks.length || row.kept.length || row.mapped.length);
  const told = (row) => [...row.breaks, ...(row.kept.length ? [`kept: ${row.kept.join(", ")}`] : []), ...(row.mapped.length ? [`renamed: ${row.mapped.join(", ")}`] : [])].join("; ");
  const columns = [{ name: "Thread", cell: (row) => el("code", {}, row.thread_id) }, { name: "Status", cell: (row) => pill(row.status) }, { name: "Graph", cell: (row) => row.fingerprint }, { name: "Next", cell: (row) => row.next.join(", ") }, { name: "What of it", cell: told }];
  const verdict = found.breaks ? pill("failed", `${found.breaks} would break`) : pill("ok", "none would break");
  return el("div.stack", {}, el("p.row", {}, verdict, el("span.muted", {}, `${many(found.checked, "thread")} looked at, ${many(found.left_out, "finished one")} left out; database at revision ${found.revision ?? "–"}.`)), found.note ? el("p", {}, found.note) : null, worth.length ? table(columns, worth, "Threads that need a word") : null, el("p.muted.small", {}, "This is the graph that runs now. Before a new release, run ", el("code", {}, "waystation deploy check"), " from that release."));
}

function keys(rows, again) {
  const end = async (row) => (await confirmed(`End the key of ${row.user}?`, "Whoever uses it is let in no more, within a second.", "End it")) && doing(() => remove(`/keys/${encodeURIComponent(row.id)}`), again);
  const columns = [
    { name: "Key", cell: (row) => el("span", {}, row.name ? el("span", {}, row.name, el("br", {})) : null, el("code.muted.small", {}, row.id)) },
    { name: "User", cell: (row) => row.user },
    { name: "Opens", cell: (row) => [...row.scopes, ...row.groups.map((each) => `group ${each}`), ...row.levels.map((each) => `level ${each}`)].join(", ") },
    { name: "State", cell: (row) => pill(row.state === "valid" ? "ok" : "plain", row.state) },
    { name: "Made", cell: (row) => time(row.created_at) },
    { name: "Ends", cell: (row) => (row.revoked_at ? time(row.revoked_at) : row.expires_at ? el("span.moment", {}, moment(row.expires_at)) : "never") },
    { name: "Used", cell: (row) => (row.last_used_at ? time(row.last_used_at) : "never") },
    { name: "", cell: (row) => (row.state === "valid" ? button("End", { kind: "tiny danger", label: `End the key ${row.name || row.id}`, onclick: () => end(row) }) : "") },
  ];
  return el("div.stack", {}, el("p", {}, button("Make a key", { kind: "primary", icon: "plus", onclick: () => makeKey(again) })), rows.length ? table(columns, rows, "Keys") : empty("No keys", "Programs send one with each request; it is shown once, when it is made."));
}

const split = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);
const KEY_FIELDS = [
  ["name", "What it is for", {}],
  ["user", "Who its bearer is (empty: you)", {}],
  ["groups", "Groups, with commas", {}],
  ["levels", "Levels, with commas", {}],
  ["days", "Days until it ends (empty: never)", { type: "number", min: 1, step: 1 }],
];
const SCOPES = [["use", "ask and see what is theirs"], ["operate", "see how the service does"], ["admin", "see settings, storage and the audit log"], ["act_as", "ask in others' names"]];

async function makeKey(again) {
  const words = Object.fromEntries(KEY_FIELDS.map(([name, , given]) => [name, el("input", { type: "text", name, autocomplete: "off", ...given })]));
  const scopes = SCOPES.map(([name, what]) => [name, el("input", { type: "checkbox", checked: name === "use" }), what]);
  const form = el("div.stack.close", {}, KEY_FIELDS.map(([name, hint]) => el("label.field", {}, el("span", {}, hint), words[name])), el("fieldset.field", {}, el("legend", {}, "What it opens"), scopes.map(([name, box, what]) => el("label.choice", {}, box, el("code", {}, name), el("span.muted.small", {}, what)))), el("p.muted.small", {}, "It opens no more than you may do yourself."));
  if ((await dialog("A new key", form, [{ text: "Cancel", value: "" }, { text: "Make it", value: "yes", kind: "primary" }])) !== "yes") return;
  const chosen = scopes.filter(([, box]) => box.checked).map(([name]) => name);
  const body = { user: words.user.value.trim(), name: words.name.value.trim(), groups: split(words.groups.value), levels: split(words.levels.value), scopes: chosen, days: words.days.value ? Number(words.days.value) : null };
  try {
    const made = await post("/keys", body);
    const shown = el("input", { type: "text", readonly: true, value: made.key, "aria-label": "The new key" });
    await dialog(`The key of ${made.user}`, el("div.stack.close", {}, el("p", {}, "This is the only time that it is shown: keep it where nobody else looks."), el("div.row", {}, el("span.grow", {}, shown), copier(made.key))));
    again();
  } catch (problem) {
    report(problem);
  }
}

function audit() {
  const words = Object.fromEntries([["q", "any part of a line"], ["user", "user"], ["what", "event"], ["run", "run id"]].map(([name, hint]) => [name, el("input", { type: "search", name, "aria-label": hint, placeholder: hint })]));
  const rows = el("div.stack", {});
  let lines = [];
  const read = async (before) => {
    try {
      const found = await get("/audit", { ...Object.fromEntries(Object.entries(words).map(([name, control]) => [name, control.value.trim()])), before, limit: 100 });
      lines = before ? lines.concat(found) : found;
      const columns = [{ name: "When", cell: (row) => el("span.moment", {}, moment(row.at)) }, { name: "Who", cell: (row) => row.who }, { name: "What", cell: (row) => row.what }, { name: "Outcome", cell: (row) => pill(row.outcome) }, { name: "Details", cell: (row) => el("code.small.long", {}, pairs(row.details)) }];
      put(rows, lines.length ? table(columns, lines, "Audit log") : empty("No line that fits"), found.length === 100 ? el("p.more", {}, button("More", { onclick: () => read(lines.at(-1).at) })) : null);
    } catch (problem) {
      put(rows, failure(problem, () => read()));
    }
  };
  const changed = calmly(() => read());
  for (const control of Object.values(words)) control.addEventListener("input", changed);
  read();
  return el("div.stack", {}, el("div.filters", {}, Object.values(words)), rows);
}

const mine = [
  { name: "Health", content: () => part("/health", health) },
  { name: "Breakers", content: () => part("/breakers", breakers) },
  { name: "Tasks", content: background },
];
const theirs = [
  { name: "Storage", content: () => part("/storage/top", storage) },
  { name: "Settings", content: settings },
  { name: "Deploy check", content: () => part("/deploy/check", deploy) },
  { name: "Keys", content: () => part("/keys", keys) },
  { name: "Audit log", content: audit },
];
put(place, tabs([...mine, ...(admin ? theirs : [])], "Operating"));
