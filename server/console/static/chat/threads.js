// The conversations at the side: found by title, words, status and tag, and never older than some seconds.
import { base, get } from "../api.js";
import { button, el, find, put } from "../dom.js";
import { branches, isJson, plain, wordOf } from "../said.js";
import { failure, pill, time } from "../ui.js";

const EVERY_MS = 5000;
const PAGE = 40;

export class ThreadList {
  /** @param {(id: string) => void} choose  Called when somebody chooses a conversation. */
  constructor(choose) {
    this.choose = choose;
    this.place = find("#threads-list");
    this.rows = [];
    this.hits = [];
    this.more = false;
    this.current = null;
    this.drawn = "";
    this.tag = "";
    let timer = 0;
    find("#search").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.load(), 200);
    });
    find("#status").addEventListener("change", () => this.load());
    setInterval(() => !document.hidden && this.rows.length <= PAGE && this.load(), EVERY_MS);
    this.place.addEventListener("click", (event) => {
      const link = event.target.closest("a.thread");
      if (!link || event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.choose(link.dataset.id);
    });
  }

  async load(after = null) {
    const q = find("#search").value.trim();
    const query = { q, status: find("#status").value, tag: this.tag, limit: PAGE, after };
    try {
      const [rows, hits] = await Promise.all([get("/threads", query), q.length > 1 && !after ? get("/threads/search", { q, limit: 10 }) : []]);
      if (q !== find("#search").value.trim()) return;
      this.rows = after ? [...this.rows, ...rows] : rows;
      this.hits = after ? this.hits : hits;
      this.more = rows.length === PAGE;
      this.draw();
    } catch (problem) {
      if (!this.rows.length) put(this.place, failure(problem, () => this.load()));
    }
  }

  mark(id) {
    this.current = id;
    this.draw();
  }

  draw() {
    const state = JSON.stringify([this.rows, this.hits, this.more, this.current]);
    if (state === this.drawn) return;
    this.drawn = state;
    const focused = this.place.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.branches = branches(this.rows);
    const filter = this.tag ? button(`#${this.tag}`, { kind: "tiny", icon: "close", label: `Every tag, not only ${this.tag}`, onclick: () => this.byTag("") }) : null;
    put(find("#tag"), filter);
    put(
      this.place,
      this.rows.length || this.hits.length ? null : el("p.loading", {}, find("#search").value ? "Nothing was found." : "No conversations yet."),
      this.rows.map((row) => this.row(row)),
      this.more ? button("Older ones", { kind: "quiet wide", onclick: () => this.load(this.rows.at(-1).cursor) }) : null,
      this.hits.length ? [el("h2", {}, "In messages"), ...this.hits.map((hit) => this.hit(hit))] : null,
    );
    if (focused) find(`a[data-id="${CSS.escape(focused)}"]`, this.place)?.focus();
  }

  row(row) {
    const { id, title, updated_at: used, tags } = row;
    const [word, branch] = [wordOf(row), this.branches.get(id)];
    const about = el("span.about", {}, time(used), branch ? el("span", {}, branch) : null, word === "quiet" ? null : pill(word), tags.map((tag) => el("span.tag", {}, tag)));
    return this.link(id, el("span.title.one-line", {}, title || "Without a title"), about);
  }

  hit({ thread_id: id, snippet = "", marks = [] }) {
    const pieces = [];
    const shown = (from, to) => plain(snippet.slice(from, to), isJson(snippet));
    let from = 0;
    for (const [start, end] of marks) {
      pieces.push(shown(from, start), el("mark", {}, snippet.slice(start, end)));
      from = end;
    }
    return this.link(id, el("span.small.muted", {}, ...pieces, shown(from)));
  }

  link(id, ...content) {
    const current = id === this.current ? { "aria-current": "true" } : {};
    return el("a.thread", { href: `${base}/?thread=${encodeURIComponent(id)}`, "data-id": id, ...current }, ...content);
  }

  byTag(tag) {
    this.tag = tag;
    this.load();
  }
}
