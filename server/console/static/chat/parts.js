// What an answer is made of: steps of tools, files, quoted passages.
import { base, get } from "../api.js";
import { el, find, findAll, icon, put } from "../dom.js";
import { dialog, duration, json, pill, size } from "../ui.js";

/** A tool call that is going or has ended. */
export class Step {
  constructor({ id, server, tool, arguments: given = {}, decision }) {
    this.id = id;
    this.body = el("div.step-body");
    this.state = el("span");
    const name = server ? `${server} · ${tool}` : tool;
    const short = el("span.arguments.one-line", {}, oneLine(given));
    this.element = el("details.step", {}, el("summary", {}, icon("right"), el("span.name", {}, name), short, this.state), this.body);
    this.given = el("section", {}, el("h3", {}, "Arguments"), json(given));
    this.progress = null;
    put(this.body, this.given);
    put(this.state, pill("running"));
    this.decided(decision);
  }

  decided(decision) {
    if (!decision) return;
    const said = { approve: "Approved", edit: "Approved with other arguments", reject: "Rejected", respond: "Answered" };
    const word = said[decision.type] ?? decision.type;
    const why = decision.reason ? `: ${decision.reason}` : "";
    find(".decided", this.body)?.remove();
    this.body.append(el("p.muted.small.decided", {}, `${word} by ${decision.by}${why}`));
  }

  went({ progress, total, message }) {
    if (!this.progress) {
      this.progress = el("section", {}, el("progress", { "aria-label": "Progress" }), el("p.muted.small"));
      this.body.append(this.progress);
    }
    const bar = find("progress", this.progress);
    if (total) {
      bar.max = total;
      bar.value = progress;
    }
    find("p", this.progress).textContent = message ?? "";
  }

  ended({ status, content = "", duration_ms: took, files = [], decision }) {
    this.progress?.remove();
    put(this.state, el("span.row", {}, took ? el("span.muted.small", {}, duration(took)) : null, pill(status)));
    this.decided(decision);
    this.result?.remove();
    this.result = el("section", {}, el("h3", {}, "Result"), content ? json(content) : el("p.muted.small", {}, "Nothing"));
    if (files.length) this.result.append(fileList(files));
    this.body.append(this.result);
    if (status !== "ok") this.element.open = status === "error";
  }
}

function oneLine(given) {
  const text = typeof given === "string" ? given : Object.entries(given ?? {}).map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(", ");
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** Files to download; pictures are shown. */
export function fileList(files) {
  return el("div.stack.close", {}, el("ul.plain.chips", {}, files.map((file) => el("li", {}, fileChip(file)))), files.filter((file) => PICTURES.has(file.media_type)).map(picture));
}

export function fileChip(file) {
  const name = file.name ?? file.filename ?? file.key;
  return el("a.chip", { href: contentOf(file.key), download: name }, icon("files"), el("span.name", {}, name), file.size ? el("span.muted", {}, size(file.size)) : null);
}

/** A file of which a message has only the key: its name stands there when the service has told it. */
export function keyChip(key) {
  const shown = fileChip({ key, name: "a file" });
  get(`/files/${encodeURIComponent(key)}`)
    .then((file) => shown.replaceWith(fileChip(file)))
    .catch((problem) => problem.status === 404 && shown.replaceWith(el("span.chip", {}, icon("files"), "a file that was deleted")));
  return shown;
}

const picture = (file) => el("img.picture", { src: contentOf(file.key), alt: file.name ?? "", loading: "lazy" });
const contentOf = (key) => `${base}/files/${encodeURIComponent(key)}/content`;

// Characters of a quoted passage by which it is found again in its document.
const PASSAGE = 200;
const MARK = /\[(\d{1,3})\]/g;

/** Make the numbers in an answer into buttons that open what they quote. */
export function linkCitations(element, citations) {
  const known = new Map(citations.map((each) => [each.n, each]));
  if (!known.size) return;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest("pre, code, a, button")) texts.push(walker.currentNode);
  for (const text of texts) replaceMarks(text, known);
}

function replaceMarks(text, known) {
  const pieces = [];
  let from = 0;
  for (const found of text.data.matchAll(MARK)) {
    const citation = known.get(Number(found[1]));
    if (!citation) continue;
    pieces.push(text.data.slice(from, found.index), citeButton(citation));
    from = found.index + found[0].length;
  }
  if (pieces.length) text.replaceWith(...pieces, text.data.slice(from));
}

function citeButton(citation) {
  const name = `Source ${citation.n}: ${citation.title || citation.document}`;
  return el("button.cite", { type: "button", "aria-label": name, title: citation.title || citation.document, onclick: () => openCitation(citation) }, String(citation.n));
}

/** The sources of an answer as a line of names. */
export function sourceLine(citations) {
  const shown = citations.map((each) =>
    el("button.source", { type: "button", onclick: () => openCitation(each) }, el("b", {}, String(each.n)), el("span.one-line", {}, each.title || each.document)),
  );
  return el("div.sources", { role: "group", "aria-label": "Sources" }, shown);
}

/** The passage that an answer quotes, with the place where it stands. */
export function openCitation({ n, source, document: name, title, quote, uri }) {
  const page = /[#&]page=(\d+)/.exec(uri ?? "")?.[1];
  const facts = [["Document", name], ["Page", page], ["Source", source]].filter(([, value]) => value);
  const list = el("dl.facts", {}, facts.flatMap(([word, value]) => [el("dt", {}, word), el("dd", {}, value)]));
  const elsewhere = /^https?:\/\//.test(uri ?? "") ? el("p", {}, el("a", { href: uri, target: "_blank", rel: "noopener noreferrer" }, "Open the document")) : null;
  const pages = findAll(".menu a").find((each) => each.pathname.endsWith("/console/sources"));
  const whole = pages ? el("p", {}, el("a", { href: `${pages.href}?source=${encodeURIComponent(source)}&document=${encodeURIComponent(name)}&passage=${encodeURIComponent((quote ?? "").slice(0, PASSAGE))}` }, "The passage in its document")) : null;
  return dialog(`${n} · ${title || name}`, [quote ? el("blockquote.quoted", {}, quote) : null, list, elsewhere, whole].filter(Boolean));
}
