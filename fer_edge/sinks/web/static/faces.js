// Faces as cards; their bars move by CSS.

import { byId, make, nameOf, span, tone, withUnit, words, write } from "./dom.js";

const STRONGEST = 3; // are shown of each face, the rest on demand
const RANK_MS = 1000; // they change places at most so often: what jumps cannot be read

export class Faces {
  constructor() {
    this.cards = new Map();
    this.labels = [];
    const all = byId("all");
    all.addEventListener("click", () => {
      const pressed = all.getAttribute("aria-pressed") !== "true";
      all.setAttribute("aria-pressed", String(pressed));
      byId("cards").classList.toggle("whole", pressed);
    });
  }

  reset(labels) {
    this.labels = labels;
    this.cards.clear();
    byId("cards").replaceChildren();
    this.show([]);
  }

  // `empty`: the text where there are none.
  show(faces, empty = "Nobody is in view.") {
    const here = new Set(faces.map((face) => face.id));
    for (const [id, card] of this.cards) {
      if (!here.has(id)) {
        card.root.remove();
        this.cards.delete(id);
      }
    }
    for (const face of faces) this.card(face.id).show(face);
    const count = faces.filter((face) => !face.hidden).length;
    write(byId("faces-count"), faces.length ? String(count) : "");
    write(byId("nobody"), empty);
    byId("nobody").hidden = faces.length > 0;
  }

  card(id) {
    if (!this.cards.has(id)) {
      const card = new Card(id, this.labels);
      this.cards.set(id, card);
      byId("cards").append(card.root);
    }
    return this.cards.get(id);
  }
}

class Card {
  constructor(id, labels) {
    this.labels = labels;
    this.root = make("li", "card");
    const head = make("h3", "head");
    this.time = make("span");
    head.append(make("span", "", `Face ${nameOf(id)}`), this.time);
    this.rankedAt = -Infinity;
    this.answer = make("p", "answer");
    this.signals = make("p", "signals");
    this.bars = labels.map((label) => new Bar(label));
    this.list = make("ul", "bars");
    this.list.append(...this.bars.map((bar) => bar.root));
    this.root.append(head, this.answer, this.signals, this.list);
  }

  show({ expression, reason, seconds, hidden, shares, signals }) {
    this.root.classList.toggle("hidden-face", hidden);
    this.root.style.setProperty("--tone", expression ? tone(expression) : "var(--field)");
    write(this.time, hidden ? "out of sight" : `here for ${span(seconds)}`);
    const share = shares[this.labels.indexOf(expression)];
    write(this.answer, expression ? `${expression} ${withUnit(share ?? "–", "%")}` : `no expression: ${words(reason ?? "waiting")}`);
    write(this.signals, signals.join(" · "));
    this.list.hidden = !shares.length;
    this.bars.forEach((bar, index) => bar.show(shares[index], this.labels[index] === expression));
    if (shares.length) this.rank(shares, expression);
  }

  // The strongest first, and before them the published answer.
  rank(shares, expression) {
    const now = performance.now();
    if (expression === this.expression && now - this.rankedAt < RANK_MS) return;
    this.expression = expression;
    this.rankedAt = now;
    const weight = (index) => (this.labels[index] === expression ? 1000 : shares[index]);
    const order = this.bars.map((_, index) => index).sort((a, b) => weight(b) - weight(a) || a - b);
    order.forEach((index, place) => this.bars[index].root.classList.toggle("weak", place >= STRONGEST));
    const roots = order.map((index) => this.bars[index].root);
    if (roots.some((root, place) => root !== this.list.children[place])) this.list.append(...roots);
  }
}

class Bar {
  constructor(label) {
    this.root = make("li");
    this.fill = make("div", "fill");
    this.fill.style.setProperty("--tone", tone(label));
    const track = make("div", "track");
    track.setAttribute("aria-hidden", "true"); // the number shows the same
    track.append(this.fill);
    this.share = make("span", "share");
    this.root.append(make("span", "", label), track, this.share);
  }

  show(share, top) {
    this.root.classList.toggle("top", top);
    this.fill.style.setProperty("--share", share ?? 0);
    write(this.share, share === undefined ? "–" : withUnit(share, "%"));
  }
}
