// What a person says next: the text, files beside it, and what is chosen for the turn.
import { get, upload } from "../api.js";
import { button, el, find, icon, put } from "../dom.js";
import { dialog, report, toast } from "../ui.js";

export class Composer {
  /** @param {(said: {message: string, files: object[], configurable: object}) => void} send */
  constructor(send) {
    this.send = send;
    this.files = [];
    this.chosen = {};
    this.box = find("#message");
    const form = find("#composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.box.addEventListener("paste", (event) => this.take(event, event.clipboardData.files));
    find("#attach").addEventListener("click", () => find("#chooser").click());
    find("#chooser").addEventListener("change", ({ target }) => {
      this.add([...target.files]);
      target.value = "";
    });
    find("#options").addEventListener("click", () => this.options());
    this.dropping(find(".conversation"));
  }

  dropping(place) {
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      place.classList.add("dropping");
    });
    place.addEventListener("dragleave", (event) => place.contains(event.relatedTarget) || place.classList.remove("dropping"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("dropping");
      this.take(event, event.dataTransfer.files);
    });
  }

  take(event, files) {
    if (!files?.length) return;
    event.preventDefault();
    this.add([...files]);
  }

  add(files) {
    for (const file of files) {
      const entry = { name: file.name || "pasted", stop: new AbortController(), share: 0 };
      this.files.push(entry);
      entry.done = upload(file, {
        signal: entry.stop.signal,
        progress: (share) => {
          entry.share = share;
          this.draw();
        },
      })
        .then((info) => Object.assign(entry, { key: info.key, name: info.filename, size: info.size, media_type: info.content_type, share: 1 }))
        .catch((problem) => {
          this.files = this.files.filter((each) => each !== entry);
          report(problem);
        })
        .finally(() => this.draw());
    }
    this.draw();
  }

  draw() {
    const list = find("#files");
    list.hidden = this.files.length === 0;
    const without = (entry) => {
      entry.stop.abort();
      this.files = this.files.filter((each) => each !== entry);
      this.draw();
    };
    put(
      list,
      this.files.map((entry) =>
        el("li.chip", {}, icon("files"), el("span.name", {}, entry.name), entry.key ? null : el("span.muted", {}, `${Math.round(entry.share * 100)} %`), button("", { icon: "close", label: `Without ${entry.name}`, kind: "quiet", onclick: () => without(entry) })),
      ),
    );
  }

  async submit() {
    if (this.busy || this.sending) return;
    if (!this.box.value.trim()) {
      if (this.files.length) toast("Say what is to be done with the file.");
      return;
    }
    this.sending = true;
    try {
      await this.sendAll();
    } finally {
      this.sending = false;
    }
  }

  /** Send what stands there, once its files are up; where one of them fails, or the message, it stands there still. */
  async sendAll() {
    const entries = [...this.files];
    await Promise.all(entries.map((entry) => entry.done));
    if (entries.some((entry) => !entry.key && !entry.stop.signal.aborted)) return;
    const message = this.box.value.trim();
    if (!message) return;
    this.box.value = "";
    const files = this.files.filter((entry) => entry.key);
    this.files = this.files.filter((entry) => !entry.key);
    this.draw();
    if (await this.send({ message, files, configurable: this.configurable() })) return;
    this.box.value = [message, this.box.value].filter(Boolean).join("\n");
    this.files = [...files, ...this.files];
    this.draw();
  }

  configurable() {
    return Object.fromEntries(Object.entries(this.chosen).filter(([, value]) => value !== null));
  }

  working(on) {
    this.busy = on;
    find("#send").hidden = on;
    find("#stop").hidden = !on;
  }

  /** Model, sources and tools of the turns that come. */
  async options() {
    try {
      const [models, sources, servers] = await Promise.all([get("/models"), get("/sources"), get("/servers")]);
      const usable = servers.filter((server) => server.state !== "left out");
      const model = el("select", { id: "option-model" }, models.map((each) => el("option", { value: each.name }, each.default ? `${each.name} (default)` : each.name)));
      model.value = this.chosen.model ?? models.find((each) => each.default)?.name ?? "";
      const [from, read] = choices("Sources", sources, this.chosen.sources);
      const [tools, use] = choices("Tools", usable, this.chosen.tools);
      const field = el("div.field", {}, el("label", { for: model.id }, el("b", {}, "Model")), model);
      const picked = await dialog("For the turns that come", [field, from, tools], [{ text: "Cancel", value: "" }, { text: "Use these", value: "yes", kind: "primary" }]);
      if (picked !== "yes") return;
      const standard = models.find((each) => each.name === model.value)?.default;
      this.chosen = { model: standard ? null : model.value, sources: read(), tools: use() };
      this.say(sources.length, usable.length);
    } catch (problem) {
      report(problem);
    }
  }

  say() {
    const { model, sources, tools } = this.chosen;
    const words = [model, sources && `${sources.length} source${sources.length === 1 ? "" : "s"}`, tools && `${tools.length} tool server${tools.length === 1 ? "" : "s"}`];
    find("#chosen").textContent = words.filter(Boolean).join(" · ") || "Options";
  }
}

/** Boxes to tick; read gives null where all of them are, since new ones count then too. */
function choices(title, items, chosen) {
  const boxes = items.map((item) => {
    const box = el("input", { type: "checkbox", value: item.name });
    box.checked = !chosen || chosen.includes(item.name);
    return box;
  });
  const lines = items.map((item, at) => el("label.choice", {}, boxes[at], el("span", {}, item.name, item.description ? el("span.muted.small", {}, ` ${item.description}`) : null)));
  const element = el("fieldset", {}, el("legend", {}, title), lines.length ? lines : el("p.muted.small", {}, "None are there for you."));
  return [element, () => (boxes.every((box) => box.checked) ? null : boxes.filter((box) => box.checked).map((box) => box.value))];
}
