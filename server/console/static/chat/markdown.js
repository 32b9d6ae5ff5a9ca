// Answers as they grow: Markdown is made into HTML by the service, as often as there is time for it.
import { post } from "../api.js";
import { el, fill } from "../dom.js";

const EVERY_MS = 120;

/** HTML of several texts. */
export async function rendered(texts) {
  return texts.length ? (await post("/console/markdown", { texts })).html : [];
}

/** A piece of an answer that grows. */
export class Prose {
  /** @param {(element: Element) => void} [after]  Called when there is new HTML: to put numbers into it, say. */
  constructor(after = () => {}) {
    this.element = el("div.prose");
    this.text = "";
    this.after = after;
    this.busy = false;
    this.pause = 0;
    this.whole = false;
    this.shown = "";
  }

  append(delta) {
    this.text += delta;
    this.draw();
  }

  /** HTML of its text so far; what has come meanwhile stays. */
  show(html, text) {
    if (!this.text.startsWith(text)) this.text = text;
    this.shown = text;
    fill(this.element, html);
    this.after(this.element);
  }

  /** One request at a time; the longer it takes, the longer the pause behind it. */
  async draw() {
    if (this.busy || this.shown === this.text) return;
    this.busy = true;
    this.pause = 0;
    const began = performance.now();
    const text = this.text;
    try {
      const [html] = await rendered([text]);
      this.show(html, text);
    } catch {
      this.shown = text;
      this.element.textContent = text;
    }
    this.pause = setTimeout(() => this.go(), this.whole ? 0 : Math.max(EVERY_MS, performance.now() - began));
  }

  go() {
    this.busy = false;
    this.draw();
  }

  /** Nothing more comes: what is there is drawn without a pause. */
  close() {
    this.whole = true;
    if (!this.pause) return;
    clearTimeout(this.pause);
    this.pause = 0;
    this.go();
  }
}
