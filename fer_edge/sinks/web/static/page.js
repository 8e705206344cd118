// The page: takes each message of the daemon to the part that shows it.

import { Alerts } from "./alerts.js";
import { byId, draw, make, sentence, setClock, setTones, write } from "./dom.js";
import { Faces } from "./faces.js";
import { Header } from "./header.js";
import { Health } from "./health.js";
import { Journal } from "./journal.js";
import { Link } from "./link.js";
import { Settings } from "./settings.js";
import { Shapes } from "./shapes.js";
import { Timeline } from "./timeline.js";

const LINKS = {
  open: ["good", "Live", ""],
  lost: ["bad", "Not connected", "The connection to the daemon is lost. Trying again."],
  full: ["bad", "Not connected", "Too many pages are open (web.max_viewers), or this one was too slow. Trying again."],
};

const alerts = new Alerts();
const faces = new Faces();
const header = new Header();
const health = new Health();
const journal = new Journal();
const timeline = new Timeline();
const picture = byId("picture");
let camera = { state: "waiting", text: "waiting for the first picture" };
let state = "connecting";

const receive = {
  hello(message) {
    setClock(message.at);
    setTones(message.colors);
    write(byId("device"), message.device);
    write(byId("version"), `fer-edge ${message.version}`);
    write(byId("purpose"), message.purpose || "What this device is for is not declared (privacy.purpose in config.yaml).");
    alerts.reset(`fer-edge ${message.device}`);
    byId("privacy").hidden = message.images;
    byId("logout").hidden = !message.login;
    picture.setAttribute("aria-label", message.images ? "Live picture with marked faces" : "Outlines of the faces in view");
    for (const part of [faces, journal, timeline]) part.reset(message.labels, message);
    others(message.cameras);
    take(message.entries, { news: false });
    settings.show(message.groups);
    shapes.take(message.shapes);
  },
  news(message) { take(message.entries, { news: true }); },
  faces(message) { faces.show(message.faces); },
  health(message) {
    health.show(message);
    header.show(message);
    ({ camera } = message);
    if (camera.state !== "good") faces.show([], "Not known: there is no picture.");
    notice();
  },
  settings(message) {
    settings.show(message.groups);
    shapes.take(message.shapes);
  },
  reply(message) { (message.key === "shapes" ? shapes : settings).reply(message); },
};

function take(entries, { news }) {
  const fresh = journal.add(entries);
  timeline.add(fresh);
  alerts.add(fresh, { news });
}

// The way to the other cameras' pages, where there are some.
function others(names) {
  const here = decodeURIComponent(location.pathname.split("/").at(-2));
  byId("cameras").hidden = !names.length;
  byId("cameras").replaceChildren(...[["All cameras", "../../"], ...names.map((name) => [name, `../${name}/`])].map(([text, href]) => {
    const link = make("a", "", text);
    link.href = href;
    if (text === here) link.setAttribute("aria-current", "page");
    return link;
  }));
}

// What stands over the picture where there is none, or none that is new.
function notice() {
  const old = state !== "open" || camera.state !== "good";
  byId("picture").parentElement.classList.toggle("old", old);
  const text = state !== "open" ? LINKS[state]?.[1] ?? "Connecting to the daemon" : camera.text;
  write(byId("notice"), old ? sentence(text) : "");
}

const link = new Link({
  onMessage: (message) => receive[message.type]?.(message),
  onPicture: (blob) => draw(picture, blob),
  onState(next) {
    state = next;
    const [tone, short, long] = LINKS[state];
    byId("link").className = `pill ${tone}`;
    write(byId("link-text"), short);
    write(byId("banner"), long);
    byId("banner").hidden = !long;
    if (state !== "open") {
      faces.show([], "Not known: there is no connection.");
      timeline.lose();
      header.lose();
      health.lose();
    }
    notice();
  },
});
const settings = new Settings((message) => link.send(message));
const shapes = new Shapes((message) => link.send(message));
