// What all parts of the page use: elements, words, and the daemon's clock.

export const byId = (id) => document.getElementById(id);

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

// Writes only what has changed: screen readers and layout notice each write.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A sentence begins with a capital, an address stays as it is.
export const sentence = (text) => /^[a-z]+\b(?!:\/\/|[/.])/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;

// A number and its unit stay on one line.
export const withUnit = (value, unit) => `${value}\u00a0${unit}`;

export const words = (name) => name.replaceAll("_", " ");

// Neither machine's wall clock need be right: times are reckoned from how long ago something was.
let offset = 0;
const seconds = () => performance.now() / 1000;
export const setClock = (at) => { offset = seconds() - at; };
export const now = () => seconds() - offset;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
export const timeOf = (at) => clock.format(new Date(Date.now() - (now() - at) * 1000));

export function span(duration) {
  const whole = Math.max(0, Math.round(duration));
  const rest = withUnit(whole % 60, "s");
  return whole < 60 ? rest : `${withUnit(Math.floor(whole / 60), "min")} ${rest}`;
}

// A face, as the picture names it too; several of them, as far as they are known by name.
export const nameOf = (id) => `#${id}`;
export function who(ids, count) {
  if (!ids?.length) return count === 1 ? "one face" : `${count ?? 0} faces`;
  return `${ids.length === 1 ? "face" : "faces"} ${ids.map(nameOf).join(", ")}`;
}

export const tone = (name) => `var(--of-${name})`;
export function setTones(colors) {
  for (const [name, color] of Object.entries(colors)) {
    if (name === "neutral") continue; // page.css has it, for light and dark: quieter than what somebody shows
    document.documentElement.style.setProperty(`--of-${name}`, color);
  }
}

// Shows a JPEG on a canvas of the same size.
export async function draw(canvas, blob) {
  const bitmap = await createImageBitmap(blob);
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}
