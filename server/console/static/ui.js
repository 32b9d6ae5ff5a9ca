// Parts that pages share; how they look stands in console.css under the same names.
import { button, el, find, findAll, icon, put, unique } from "./dom.js";

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** A point of time as people say it, which stays true while the page is open. */
export function time(iso) {
  const made = el("time", { datetime: iso, title: new Date(iso).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" }) });
  made.textContent = ago(iso);
  return made;
}

export function ago(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const unit = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  if (!unit) return seconds > 0 ? "in a moment" : "just now";
  return relative.format(Math.round(seconds / unit[1]), unit[0]);
}

setInterval(() => {
  for (const shown of findAll("time[datetime]")) shown.textContent = ago(shown.dateTime);
}, 30_000);

/** 850 ms, 2.4 s, 3 min 5 s. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** 12 B, 3.4 kB, 5 MB. */
export function size(bytes) {
  const step = bytes < 1000 ? 0 : bytes < 1e6 ? 1 : bytes < 1e9 ? 2 : 3;
  const number = bytes / 1000 ** step;
  return `${step && number < 10 ? number.toFixed(1) : Math.round(number)} ${["B", "kB", "MB", "GB"][step]}`;
}

const LOOKS = {
  good: ["done", "ok", "healthy", "approved", "ready", "running here", "closed"],
  busy: ["running", "queued", "starting", "streaming"],
  waits: ["interrupted", "waiting", "degraded", "edited", "half open"],
  bad: ["failed", "error", "timeout", "denied", "rejected", "unknown", "open", "down"],
};

/** A status in a word. */
export function pill(status, text = status) {
  const look = Object.keys(LOOKS).find((each) => LOOKS[each].includes(status)) ?? "plain";
  return el(`span.pill.${look}`, {}, text);
}

/** Where there is nothing: why, and what to do. */
export function empty(title, text = "", ...actions) {
  return el("div.empty", {}, el("h2", {}, title), text ? el("p", {}, text) : null, ...actions);
}

/** Where something could not be read. */
export function failure(problem, again) {
  return el(
    "div.failure",
    { role: "alert" },
    el("h2", {}, problem.title || "That did not work"),
    el("p", {}, problem.message),
    problem.code ? el("p.muted.small", {}, el("code", {}, problem.code)) : null,
    again ? button("Try again", { onclick: again, icon: "retry" }) : null,
  );
}

/** A word about something that happened; it goes by itself. */
export function toast(text, kind = "") {
  const shown = el(`div.toast${kind ? `.${kind}` : ""}`, {}, text);
  find(".toasts").append(shown);
  setTimeout(() => shown.remove(), 6000);
}

/** Say what went wrong; what was broken off on purpose is nothing. */
export function report(problem) {
  if (problem.name === "AbortError") return;
  toast(problem.message, "bad");
}

/**
 * A dialog with a title, its content and buttons; resolved with the value of the button, "" when it is closed.
 *
 * @param {{text: string, value: string, kind?: string}[]} actions  The last is what Enter does.
 */
export function dialog(title, content, actions = [{ text: "Close", value: "" }]) {
  return new Promise((resolve) => {
    const id = unique("dialog");
    // Enter in a field presses the first button that submits: the last is the only one that does.
    const choice = ({ text, value, kind = "" }, at) =>
      at === actions.length - 1 ? el("button", { type: "submit", value, class: `button ${kind}` }, text) : button(text, { kind, onclick: () => shown.close(value) });
    const form = el(
      "form",
      { method: "dialog" },
      el("header", {}, el("h2", { id }, title), button("", { icon: "close", label: "Close", kind: "quiet", onclick: () => shown.close("") })),
      el("div.dialog-body", {}, content),
      el("footer", {}, actions.map(choice)),
    );
    const shown = el("dialog", { "aria-labelledby": id }, form);
    shown.addEventListener("close", () => {
      shown.remove();
      resolve(shown.returnValue);
    });
    document.body.append(shown);
    shown.showModal();
  });
}

/** Ask before something that cannot be taken back. */
export async function confirmed(title, text, yes) {
  const actions = [{ text: "Cancel", value: "" }, { text: yes, value: "yes", kind: "danger" }];
  return (await dialog(title, el("p", {}, text), actions)) === "yes";
}

/**
 * Tabs: a row of names, and what stands behind the one that is chosen.
 *
 * @param {{name: string, content: Node|(() => Node)}[]} items  A function is called when its tab is first seen.
 */
export function tabs(items, label) {
  const id = unique("tabs");
  const panels = items.map((_, at) => el("div.tab-panel", { role: "tabpanel", id: `${id}-p${at}`, "aria-labelledby": `${id}-t${at}`, tabIndex: 0, hidden: true }));
  const names = items.map(({ name }, at) =>
    el("button", { type: "button", role: "tab", id: `${id}-t${at}`, "aria-controls": `${id}-p${at}`, onclick: () => choose(at) }, name),
  );
  const seen = new Set();
  function choose(chosen, focus = false) {
    names.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
      panels[at].hidden = at !== chosen;
    });
    const { content } = items[chosen];
    if (!seen.has(chosen)) panels[chosen].append(typeof content === "function" ? content() : content);
    seen.add(chosen);
    if (focus) names[chosen].focus();
  }
  const list = el("div.tab-list", { role: "tablist", "aria-label": label }, names);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose((names.indexOf(document.activeElement) + step + names.length) % names.length, true);
  });
  choose(0);
  return el("div.tabs", {}, list, panels);
}

/**
 * A table.
 *
 * @param {{name: string, cell: (row: object) => Node|string, number?: boolean}[]} columns
 */
export function table(columns, rows, caption) {
  const look = (column) => (column.number ? { class: "number" } : {});
  // On a narrow screen rows are cards (console.css), for which browsers forget what a table is.
  const cell = (column, row) => el("td", { role: "cell", "data-name": column.name, ...look(column) }, column.cell(row));
  const head = columns.map((column) => el("th", { scope: "col", role: "columnheader", ...look(column) }, column.name));
  const body = rows.map((row) => el("tr", { role: "row" }, columns.map((column) => cell(column, row))));
  return el(
    "div.table-wrap",
    { tabIndex: 0, role: "region", "aria-label": caption },
    el("table", { role: "table" }, el("caption.unseen", {}, caption), el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)), el("tbody", { role: "rowgroup" }, body)),
  );
}

/** JSON to read, with a button that copies it. */
export function json(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return el("div.code", {}, copier(text), el("pre", { tabIndex: 0 }, text));
}

/** A button that copies a text. */
export function copier(text, label = "Copy") {
  const made = button("", { icon: "copy", label, kind: "quiet" });
  made.addEventListener("click", async () => {
    await copy(typeof text === "function" ? text() : text);
    put(made, icon("check"));
    setTimeout(() => put(made, icon("copy")), 1500);
  });
  return made;
}

/** Into the clipboard; pages that were not opened by https or on this machine have none. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    await dialog("Copy this", el("textarea", { rows: 10, readOnly: true, "aria-label": "Text" }, text));
  }
}

/** A line that says that something is on its way. */
export const loading = (text = "Loading…") => el("p.loading", { role: "status" }, text);
