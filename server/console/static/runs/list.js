// The list of runs: what can be filtered, the numbers above it, and a row for each.
import { base, get } from "../api.js";
import { el, put } from "../dom.js";
import { count, cut, money, query } from "../insight/format.js";
import { calmly, paged } from "../insight/lists.js";
import { wordOf } from "../said.js";
import { duration, empty, pill, table, time } from "../ui.js";

const STATUSES = ["queued", "running", "interrupted", "done", "failed", "cancelled"];
const FILTERS = ["q", "status", "model", "thread", "user", "since"];
const REFRESH_MS = 5000;

/** Draw the list; gives a function that ends what it does by itself. */
export function list(place, open) {
  const given = new URLSearchParams(location.search);
  const admin = document.querySelector("#runs").dataset.admin === "true";
  const fields = form(given, admin);
  const numbers = el("div.numbers", { "aria-live": "polite" });
  const rows = el("div.stack", {});
  put(place, numbers, fields, rows);
  const wanted = () => Object.fromEntries(FILTERS.map((name) => [name, value(fields, name)]));
  const read = paged(rows, () => ["/runs", { ...wanted(), limit: 50 }], (found) => drawn(found, open), none);
  const counted = () => counts(numbers, value(fields, "user"));
  const changed = calmly(() => {
    query({ ...raw(fields) }, { replace: true });
    read();
    counted();
  });
  fields.addEventListener("input", changed);
  fields.addEventListener("submit", (event) => event.preventDefault());
  read();
  counted();
  const timer = setInterval(() => document.visibilityState === "visible" && counted(), REFRESH_MS);
  models(fields.elements.model, given.get("model"));
  return () => clearInterval(timer);
}

const raw = (fields) => Object.fromEntries(FILTERS.map((name) => [name, fields.elements[name]?.value.trim() ?? ""]));

function value(fields, name) {
  const text = raw(fields)[name];
  if (name !== "since" || !text) return text;
  return new Date(Date.now() - Number(text) * 3_600_000).toISOString();
}

function form(given, admin) {
  const field = (label, control) => el("label.field", {}, el("span", {}, label), control);
  const text = (name, placeholder) => el("input", { name, type: "search", value: given.get(name) ?? "", placeholder, autocomplete: "off" });
  const choice = (name, options) => {
    const made = el("select", { name }, options.map(([key, shown]) => el("option", { value: key }, shown)));
    made.value = given.get(name) ?? "";
    return made;
  };
  const statuses = [["", "any"], ...STATUSES.map((each) => [each, each === "interrupted" ? "waiting, interrupted" : wordOf({ status: each })])];
  const spans = [["", "any time"], ["1", "last hour"], ["24", "last day"], ["168", "last week"], ["720", "last 30 days"]];
  return el(
    "form.filters",
    { role: "search", "aria-label": "Filter runs" },
    field("Search", text("q", "message, title or id")),
    field("Status", choice("status", statuses)),
    field("Model", choice("model", [["", "any"]])),
    field("Asked", choice("since", spans)),
    field("Thread", text("thread", "id")),
    admin ? field("User", text("user", "yours; * for all")) : null,
  );
}

async function models(control, chosen) {
  const found = await get("/models").catch(() => []);
  control.append(...found.map(({ name }) => el("option", { value: name }, name)));
  control.value = chosen ?? "";
}

async function counts(place, user) {
  const found = await get("/runs/counts", { user }).catch(() => null);
  if (!found) return;
  const shown = [["running", found.running], ["queued", found.queued], ["waiting", found.waiting], ["failed", found.failed], ["stopped", found.cancelled], ["done", found.done]];
  put(place, shown.map(([name, number]) => el("div.figure", {}, el("b", {}, count(number)), el("span", {}, name === "waiting" ? "waiting for a person" : name))));
}

function drawn(rows, open) {
  const several = new Set(rows.map((row) => row.user)).size > 1;
  const columns = [
    { name: "Run", cell: (row) => named(row, open) },
    { name: "Status", cell: (row) => el("span.row", {}, pill(wordOf(row)), row.error?.code ? el("code.small", {}, row.error.code) : null) },
    ...(several ? [{ name: "User", cell: (row) => row.user }] : []),
    { name: "Model", cell: (row) => row.usage.model || "–" },
    { name: "Tokens", number: true, cell: (row) => count(row.usage.input_tokens + row.usage.output_tokens) },
    { name: "Cost", number: true, cell: (row) => money(row.cost) },
    { name: "Took", number: true, cell: (row) => (row.ended_at ? duration(new Date(row.ended_at) - new Date(row.started_at ?? row.created_at)) : "–") },
    { name: "Asked", cell: (row) => time(row.created_at) },
  ];
  return table(columns, rows, "Runs");
}

function named(row, open) {
  const text = cut(row.message.replace(/\s+/g, " ").trim()) || row.run_id;
  const go = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    open(row.run_id);
  };
  return el("a.run-name", { href: `${base}/console/runs?run=${encodeURIComponent(row.run_id)}`, onclick: go }, text);
}

const none = () => empty("No runs", "Nothing has run that fits. A message in the chat makes a run, and so does every other client.");
