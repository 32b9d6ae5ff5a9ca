// Elements, made without HTML: text stays text, whatever it holds.

/**
 * An element with its attributes and children.
 *
 * @param {string} name  Its tag, with classes behind dots: "p.muted.small".
 * @param {object} [given]  Attributes; a function under "onclick" and the like is a listener, and a value of
 *     null or false leaves one out.
 * @param {...(Node|string|null)} children  Text becomes a text node.
 */
export function el(name, given = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(given)) set(made, key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function set(made, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === "function") made.addEventListener(key.slice(2), value);
  else if (key in made && typeof value !== "string") made[key] = value;
  else made.setAttribute(key, value === true ? "" : value);
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element, with attributes and children. */
export function svg(name, given = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** One of the icons of templates/icons.html. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** A button; with `label` and no text, only its icon is seen. */
export function button(text, { icon: drawn, label, kind = "", ...given } = {}) {
  const classes = ["button", ...kind.split(" "), text ? "" : "icon-only"].filter(Boolean).join(".");
  const named = label ? { "aria-label": label, title: label } : {};
  return el(classes.replace(/^button/, "button.button"), { type: "button", ...named, ...given }, drawn ? icon(drawn) : null, text || null);
}

let ids = 0;

/** An id that no other element of this page has. */
export const unique = (kind) => `${kind}-${(ids += 1)}`;

const sanitised = globalThis.trustedTypes?.createPolicy("waystation", { createHTML: (html) => html });

/**
 * Put HTML that POST /console/markdown has made, or the picture that GET /graph gives, into the element: the one
 * place where text becomes elements.
 */
export function fill(element, html) {
  element.innerHTML = sanitised ? sanitised.createHTML(html) : html;
}

/** The element's children, and nothing else. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
