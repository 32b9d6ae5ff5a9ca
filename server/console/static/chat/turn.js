// A turn: what a person said, and all that answers it, from the transcript or as it comes.
import { button, el, find, icon, put } from "../dom.js";
import { questionCard } from "../questions.js";
import { copier, failure } from "../ui.js";
import { Prose, rendered } from "./markdown.js";
import { fileChip, fileList, keyChip, linkCitations, sourceLine, Step } from "./parts.js";

export class Turn {
  /**
   * @param {object} asked  The user's message: id, text, files and run_id, as far as they are known.
   * @param {object} does  What its buttons do: edit(turn, text), retry(turn), answered(question).
   */
  constructor(asked, does) {
    this.does = does;
    this.run = asked.run_id ?? null;
    this.citations = [];
    this.texts = [];
    this.last = 0;
    this.attempt = 1;
    // Whether all of its run is shown.
    this.whole = false;
    this.question = el("div.asked");
    this.answer = el("div.answer");
    this.element = el("article.turn", { "aria-label": "Turn" }, this.question, this.answer);
    this.said(asked);
    this.clear();
  }

  said({ id, text = "", files = [] }) {
    this.id = id ?? this.id;
    this.text = text;
    this.files = files;
    this.showQuestion();
  }

  showQuestion() {
    this.question.classList.remove("editing");
    const actions = el("div.turn-actions", {}, copier(() => this.text, "Copy the message"), this.id ? button("", { icon: "edit", label: "Edit and run again", kind: "quiet", onclick: () => this.editing() }) : null);
    const files = this.files.length ? el("ul.plain.chips", {}, this.files.map((file) => el("li", {}, typeof file === "string" ? keyChip(file) : fileChip(file)))) : null;
    put(this.question, files, el("div.bubble", {}, this.text), actions);
  }

  editing() {
    const box = el("textarea", { rows: Math.min(12, this.text.split("\n").length + 1), "aria-label": "The message, as it should have been" });
    box.value = this.text;
    const run = button("Run as a branch", { kind: "primary", icon: "branch", onclick: () => this.does.edit(this, box.value) });
    this.question.classList.add("editing");
    put(this.question, box, el("div.row", {}, run, button("Cancel", { onclick: () => this.showQuestion() })));
    box.focus();
  }

  /** Without an answer: before the first event, and where an attempt begins anew. */
  clear() {
    this.texts = [];
    this.steps = new Map();
    this.thoughts = null;
    this.prose = null;
    this.made = [];
    this.end = el("div.stack.close");
    put(this.answer, this.end);
  }

  add(element) {
    this.end.before(element);
  }

  /** What the transcript has of the answer; several turns are asked for at once, so the HTML comes from outside. */
  async fromTranscript(messages) {
    this.clear();
    const texts = messages.filter((message) => message.role === "assistant" && message.text);
    this.citations = messages.flatMap((message) => message.citations ?? []);
    const html = await rendered(texts.map((message) => message.text));
    for (const message of messages) {
      if (message.role === "tool") this.toolOf(message);
      else if (message.text) this.newProse().show(html[texts.indexOf(message)], message.text);
    }
    this.made = messages.filter((message) => message.role === "assistant").flatMap((message) => message.files ?? []);
    this.finish();
  }

  toolOf(message) {
    const step = this.stepOf({ id: message.tool_call_id, server: message.server, tool: message.tool ?? message.name, arguments: message.arguments });
    step.ended({ ...message, content: message.text });
  }

  newProse() {
    this.prose = new Prose((element) => linkCitations(element, this.citations));
    this.texts.push(this.prose);
    this.add(this.prose.element);
    return this.prose;
  }

  stepOf(call) {
    let step = this.steps.get(call.id);
    if (!step) {
      step = new Step(call);
      this.steps.set(call.id, step);
      this.add(step.element);
      this.prose?.close();
      this.prose = null;
    }
    return step;
  }

  /** The next event of the run. */
  apply(event) {
    this.last = event.seq ?? this.last;
    this.run = event.run_id ?? this.run;
    this[`on_${event.type}`]?.(event);
  }

  on_run_started({ attempt }) {
    // What an attempt that died had said of its answer is void; one that was answered goes on.
    if (attempt > this.attempt && !this.paused) this.clear();
    this.attempt = attempt;
    this.paused = false;
    this.busy("Thinking");
  }

  on_documents({ items = [] }) {
    this.citations = items;
    if (items.length) this.busy(`Read ${items.length} passage${items.length > 1 ? "s" : ""}`);
  }

  on_token({ delta }) {
    (this.prose ?? this.newProse()).append(delta);
  }

  on_reasoning({ delta }) {
    if (!this.thoughts) {
      this.thoughts = el("div");
      this.add(el("details.aside", {}, el("summary", {}, icon("right"), "What the model thought"), this.thoughts));
    }
    this.thoughts.append(delta);
  }

  on_tool_call(event) {
    this.stepOf(event).decided(event.decision);
    this.busy(`Using ${event.tool}`);
  }

  on_tool_progress(event) {
    this.steps.get(event.id)?.went(event);
  }

  on_tool_result(event) {
    this.steps.get(event.id)?.ended(event);
    this.busy("Thinking");
  }

  on_interrupt(question) {
    this.ask(question);
  }

  /** A question that waits; each is shown once. */
  ask(question) {
    if (find(`[data-question="${CSS.escape(question.id)}"]`, this.answer)) return;
    this.paused = true;
    this.add(questionCard({ question, run_id: this.run }, { onAnswered: () => this.does.answered(this) }));
  }

  on_file(file) {
    this.made.push(file);
  }

  on_notice({ detail, code }) {
    if (code !== "offline_model") this.add(el("p.notice", {}, detail));
  }

  on_error({ title, detail, code }) {
    this.whole = true;
    this.finish();
    const again = this.id ? () => this.does.retry(this) : null;
    this.add(failure({ title, message: detail, code }, again));
  }

  on_done({ status, citations = [], files = [] }) {
    this.citations = citations.length ? citations : this.citations.filter((each) => each.quote);
    this.made = files;
    for (const prose of this.texts) {
      prose.close();
      linkCitations(prose.element, this.citations);
    }
    this.paused = status === "interrupted";
    this.whole = !this.paused;
    if (this.paused) put(this.end);
    else this.finish(status === "cancelled" ? "Stopped" : "");
  }

  busy(text) {
    put(this.end, el("p.busy-line", {}, text));
  }

  /** What stands below an answer. */
  finish(word = "") {
    const text = () => this.texts.map((prose) => prose.text).join("\n\n");
    const used = this.citations.filter((each) => each.quote);
    const actions = el(
      "div.turn-actions",
      {},
      this.texts.length ? copier(text, "Copy the answer") : null,
      button("", { icon: "retry", label: "Try again", kind: "quiet", onclick: () => this.does.retry(this) }),
      word ? el("span", {}, word) : null,
    );
    put(this.end, this.made.length ? fileList(this.made) : null, used.length ? sourceLine(used) : null, actions);
  }
}
