// Thresholds. What is in force is the daemon's to say: a slider that is not being moved follows it, whoever has set it.

import { byId, make, write } from "./dom.js";

const EVERY_MS = 100; // a slider that is moved sends at most so often
const OWN_MS = 1000; // and does not follow for so long

export class Settings {
  constructor(send) {
    this.send = send;
    this.fields = new Map();
    byId("keep").addEventListener("click", () => this.send({ type: "keep" }));
  }

  show(groups) {
    const keys = groups.flatMap((group) => group.settings.map((setting) => setting.key)).join();
    if (keys !== this.keys) this.build(groups);
    this.keys = keys;
    for (const { settings } of groups) for (const setting of settings) this.fields.get(setting.key).show(setting);
    this.count(groups);
  }

  build(groups) {
    const open = new Set([...document.querySelectorAll("#groups details[open]")].map((each) => each.dataset.name));
    this.fields.clear();
    byId("groups").replaceChildren(...groups.map((group, index) => {
      const details = make("details");
      details.dataset.name = group.name;
      details.open = this.keys ? open.has(group.name) : index === 0;
      const fields = make("div", "fields");
      for (const setting of group.settings) {
        const field = new Field(setting, this.send);
        this.fields.set(setting.key, field);
        fields.append(field.root);
      }
      details.append(make("summary", "", group.name), fields);
      return details;
    }));
  }

  count(groups) {
    const changed = groups.flatMap((group) => group.settings).filter(({ value, kept }) => value !== kept).length;
    byId("keep").disabled = changed === 0;
    const all = changed === 1 ? "One change lasts" : `${changed} changes last`;
    if (changed) this.saved = false;
    write(byId("unsaved"), changed ? `${all} until the restart` : this.saved ? "Saved" : "");
  }

  reply({ key, problem }) {
    if (key) return this.fields.get(key)?.complain(problem);
    this.saved = !problem;
    write(byId("unsaved"), problem ? `Not saved: ${problem}` : "Saved");
    return undefined;
  }
}

class Field {
  constructor({ key, name, hint, unit, type, low, high, step }, send) {
    Object.assign(this, { key, name, type, send, movedAt: 0 });
    const id = `set-${key.replaceAll(".", "-")}`;
    this.root = make("div", "setting");
    const label = make("label", "", name);
    label.htmlFor = id;
    this.mark = make("span", "mark");
    this.reset = make("button", "reset");
    this.reset.type = "button";
    this.reset.addEventListener("click", () => { this.movedAt = 0; send({ type: "set", key, value: null }); });
    const line = make("div", "line");
    const about = make("p", "hint", hint);
    about.id = `${id}-hint`;
    this.problem = make("p", "problem");
    this.problem.setAttribute("role", "alert");
    this.inputs = type === "bool" ? [input(id, { type: "checkbox" })] : [
      input(id, { type: "range", min: low, step }),
      input(`${id}-number`, { type: "number", min: low, max: high, step: type === "int" ? 1 : "any", inputMode: "decimal" }),
    ];
    for (const each of this.inputs) {
      each.setAttribute("aria-describedby", about.id);
      each.addEventListener(each.type === "number" ? "change" : "input", () => this.moved(each));
      each.addEventListener("blur", () => this.movedAt || this.follow()); // a number did not, while it was typed in
    }
    if (type === "bool") line.append(this.inputs[0], label);
    else line.append(label);
    line.append(this.mark, this.reset);
    this.root.append(line);
    if (type !== "bool") {
      this.inputs[1].setAttribute("aria-label", `${name}, as a number`);
      const number = make("span", "number");
      number.append(this.inputs[1], make("span", "unit", unit));
      this.root.append(this.inputs[0], number);
    }
    this.root.append(about, this.problem);
  }

  moved(source) {
    const value = this.type === "bool" ? source.checked : source.valueAsNumber;
    if (Number.isNaN(value)) return this.complain("expected a number");
    this.movedAt = performance.now();
    for (const other of this.inputs) if (other !== source) put(other, value);
    this.next = value;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.send({ type: "set", key: this.key, value: this.next });
    }, EVERY_MS);
    return undefined;
  }

  show({ value, kept, default: own, top, unit }) {
    this.value = value;
    const [first] = this.inputs;
    if (first.type === "range") first.max = Math.max(top, value);
    clearTimeout(this.later);
    const busy = this.movedAt ? OWN_MS - (performance.now() - this.movedAt) : 0;
    if (busy > 0) this.later = setTimeout(() => this.follow(), busy);
    else this.follow();
    if (first.type === "range") first.setAttribute("aria-valuetext", `${value} ${unit}`.trim());
    write(this.mark, value === kept ? "" : "not saved");
    this.reset.hidden = value === own;
    const plain = typeof own === "boolean" ? (own ? "on" : "off") : `${own} ${unit}`.trim();
    write(this.reset, `back to ${plain}`);
    this.reset.setAttribute("aria-label", `${this.name}: back to ${plain}`);
  }

  follow() {
    this.movedAt = 0;
    for (const each of this.inputs) if (document.activeElement !== each || each.type !== "number") put(each, this.value);
  }

  complain(problem) {
    write(this.problem, problem ?? "");
    if (problem) this.follow();
  }
}

function input(id, properties) {
  const { max, ...rest } = properties;
  return Object.assign(document.createElement("input"), rest, max === undefined ? {} : { max }, { id });
}

function put(element, value) {
  if (element.type === "checkbox") element.checked = value;
  else element.value = value;
}
