// Sources: what is in them, what was left out and why, and a question to try.
import { get, post } from "../api.js";
import { button, el, find, put } from "../dom.js";
import { asked, count, many, query } from "../insight/format.js";
import { calmly } from "../insight/lists.js";
import { dialog, duration, empty, failure, loading, pill, report, size, table, tabs } from "../ui.js";

const place = find("#sources");

async function show() {
  put(place, loading());
  try {
    const found = await get("/sources");
    if (!found.length) return put(place, empty("No sources", "None is configured that you may search. They stand in sources.yaml."));
    const name = found.some((each) => each.name === asked("source")) ? asked("source") : found[0].name;
    const side = el("div.stack", {});
    const open = (each) => {
      query({ source: each.name }, { replace: true });
      for (const other of cards) other.setAttribute("aria-pressed", String(other.dataset.name === each.name));
      put(side, about(each), tabs([{ name: "Try a question", content: () => trial(each) }, { name: "Documents", content: () => documents(each, false) }, { name: "Left out", content: () => documents(each, true) }], each.display_name));
    };
    const cards = found.map((each) => card(each, open));
    put(place, el("div.chooser", {}, cards), side);
    open(found.find((each) => each.name === name));
    if (asked("document")) pieces(`/sources/${encodeURIComponent(name)}`, { name: asked("document") }, asked("passage"));
  } catch (problem) {
    put(place, failure(problem, show));
  }
}

function card(each, open) {
  const made = el("button.card.chosen", { type: "button", onclick: () => open(each) }, el("b.one-line", {}, each.display_name), el("span.row", {}, pill(each.problem ? "failed" : "ok", each.problem ? "has a problem" : each.type), each.type === "local" ? el("span.muted.small", {}, `${count(each.documents)} documents`) : null));
  made.dataset.name = each.name;
  return made;
}

function about(each) {
  const figures = each.type === "local" ? [["documents", each.documents], ["pieces", each.chunks], ["left out", each.skipped]] : [["collections", each.collections.length]];
  return el("section.stack.close", {}, each.description ? el("p.muted", {}, each.description) : null, each.problem ? el("p.failure-line", {}, each.problem) : null, el("div.numbers", {}, figures.map(([name, number]) => el("div.figure", {}, el("b", {}, count(number ?? 0)), el("span", {}, name)))));
}

function trial(each) {
  const field = el("input", { type: "search", name: "question", "aria-label": "What to ask", placeholder: "What would somebody ask?", maxLength: 4000 });
  const found = el("div.stack", { "aria-live": "polite" });
  const ask = async (event) => {
    event.preventDefault();
    if (!field.value.trim()) return field.focus();
    put(found, loading("Searching…"));
    try {
      put(found, passages(await post(`/sources/${encodeURIComponent(each.name)}/query`, { query: field.value })));
    } catch (problem) {
      put(found, failure(problem));
    }
  };
  return el("div.stack", {}, el("form.row", { role: "search", onsubmit: ask }, el("span.grow", {}, field), el("button.button.primary", { type: "submit" }, "Search")), found);
}

function passages({ passages: found, failed, duration_ms: took }) {
  const item = (passage) => {
    const share = el("span.lane-bar", { "aria-hidden": "true" });
    share.style.setProperty("--share", Math.min(passage.score, 1));
    return el("li.card.stack.close", {}, el("div.row", {}, el("b.grow.one-line", {}, passage.title || passage.document), share, el("span.number", {}, passage.score.toFixed(2))), el("p.muted.small", {}, `${passage.document}${passage.end ? `, ${count(passage.start)} to ${count(passage.end)}` : ""}`), el("p.answer", {}, passage.text));
  };
  const none = failed.length ? el("p.failure-line", {}, failed.map((each) => each.reason).join("; ")) : empty("Nothing is found", "No passage is near enough to the question: an answer would be given without this source.");
  return [el("p.muted.small", {}, `${many(found.length, "passage")} in ${duration(took)}`), found.length ? el("ol.plain.stack.close", {}, found.map(item)) : none].reduce((all, each) => (all.append(each), all), el("div.stack", {}));
}

function documents(each, skipped) {
  const field = el("input", { type: "search", "aria-label": "Name of a document", placeholder: "name" });
  const rows = el("div.stack", {});
  const path = `/sources/${encodeURIComponent(each.name)}`;
  const read = async () => {
    put(rows, loading());
    try {
      const found = await get(`${path}/documents`, { q: field.value, skipped: skipped || undefined, limit: 500 });
      put(rows, found.total > found.documents.length ? el("p.muted.small", {}, `${found.documents.length} of ${count(found.total)}`) : null, found.total ? listed(path, found.documents, skipped) : none(skipped));
    } catch (problem) {
      put(rows, failure(problem, read));
    }
  };
  field.addEventListener("input", calmly(read));
  read();
  return el("div.stack", {}, field, rows);
}

const none = (skipped) => (skipped ? empty("Nothing was left out", "Every file could be read whole.") : empty("No documents", "A source elsewhere is searched where it is, so nothing of it stands here."));

function listed(path, rows, skipped) {
  const opener = (row) => (row.chunks ? button(row.name, { kind: "as-link", onclick: () => pieces(path, row) }) : row.name);
  const why = { name: skipped ? "Why" : "Notes", cell: (row) => row.problem || row.notes.join("; ") };
  const columns = [{ name: "Document", cell: opener }, { name: "Pieces", number: true, cell: (row) => count(row.chunks) }, { name: "Size", number: true, cell: (row) => size(row.size) }, { name: "Language", cell: (row) => row.language }, why];
  return table(columns, rows, "Documents");
}

/** A document, piece by piece; where an answer quotes it, that passage is marked and in sight. */
async function pieces(path, row, passage = "") {
  try {
    const found = await get(`${path}/chunks`, { document: row.name, limit: 500 });
    const items = found.map((piece) => el("li.said", {}, el("p.muted.small", {}, where(piece)), el("p.answer", {}, marked(piece.text, passage))));
    const list = found.length ? el("ol.plain.stack.close", {}, items) : el("p.muted", {}, "Nothing of it is in the index any more.");
    const closed = dialog(row.name, list);
    const quoted = find("mark", list);
    quoted?.closest("li").classList.add("quoted");
    quoted?.scrollIntoView({ block: "center" });
    await closed;
  } catch (problem) {
    report(problem);
  }
}

function where({ title, uri, start, end }) {
  const page = /[#&]page=(\d+)/.exec(uri ?? "")?.[1];
  return [title, page ? `page ${page}` : `${count(start)} to ${count(end)}`].filter(Boolean).join(" · ");
}

/** The text with the passage in it marked, however its lines are broken. */
function marked(text, passage) {
  const words = passage.trim().split(/\s+/).filter(Boolean);
  if (!words.length) return text;
  const found = new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("\\s+")).exec(text);
  return found ? [text.slice(0, found.index), el("mark", {}, found[0]), text.slice(found.index + found[0].length)] : text;
}

show();
