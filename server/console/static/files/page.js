// Files: a list with its search, what each holds, and a download.
import { address, get, remove } from "../api.js";
import { button, el, find, put } from "../dom.js";
import { calmly, paged } from "../insight/lists.js";
import { confirmed, dialog, empty, loading, failure, pill, report, size, table, time } from "../ui.js";

const place = find("#files");

function show() {
  const field = el("input", { type: "search", "aria-label": "Name of a file", placeholder: "name" });
  const kinds = el("select", { "aria-label": "Kind of files" }, [["", "every file"], ["user", "uploaded"], ["tool", "made by tools"]].map(([key, text]) => el("option", { value: key }, text)));
  const rows = el("div.stack", {});
  const where = () => ["/files", { limit: 100, file_type: kinds.value }];
  const read = paged(rows, where, (found) => listed(found.filter((file) => file.filename.toLowerCase().includes(field.value.toLowerCase())), () => read()), () => empty("No files", "Files that you upload in the chat, and those that tools make, stand here."));
  field.addEventListener("input", calmly(read));
  kinds.addEventListener("change", read);
  put(place, el("div.filters", {}, field, kinds), rows);
  read();
}

function listed(rows, again) {
  const columns = [
    { name: "File", cell: (row) => button(row.filename, { kind: "as-link", onclick: () => preview(row, again) }) },
    { name: "Type", cell: (row) => row.content_type },
    { name: "Size", number: true, cell: (row) => size(row.size) },
    { name: "From", cell: (row) => el("span.moment", {}, row.file_type === "tool" ? "a tool" : "an upload") },
    { name: "Stored", cell: (row) => time(row.last_modified) },
  ];
  return rows.length ? table(columns, rows, "Files") : empty("No file of this name");
}

async function preview(row, again) {
  const path = `/files/${encodeURIComponent(row.key)}`;
  const shown = el("div.stack", {}, loading());
  get(`${path}/preview`).then((found) => put(shown, content(found, path)), (problem) => put(shown, failure(problem)));
  const facts = el("div.row", {}, pill("plain", row.content_type), el("span.muted.small", {}, size(row.size)), el("span.grow", {}), el("a.button.tiny", { href: address(`${path}/content`), download: row.filename }, "Download"));
  const done = await dialog(row.filename, [facts, shown], [{ text: "Delete", value: "delete", kind: "danger" }, { text: "Close", value: "" }]);
  if (done !== "delete" || !(await confirmed(`Delete ${row.filename}?`, "It is gone for good.", "Delete"))) return;
  try {
    await remove(path);
    again();
  } catch (problem) {
    report(problem);
  }
}

function content(found, path) {
  if (found.kind === "image") return el("img.preview", { src: address(`${path}/content`), alt: "The picture" });
  if (found.kind === "text") return el("div.stack.close", {}, el("pre.plain", { tabIndex: 0 }, found.content), found.cut ? el("p.muted.small", {}, "This is how it begins; the download has all of it.") : null);
  return el("p.muted", {}, "It is no text and no picture that a browser shows; the download has it.");
}

show();
