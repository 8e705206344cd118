// The websocket, opened again and again until it holds. A page that is hidden asks for no pictures.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
const AT_A_TIME = 2; // pictures under way: one travels while the other is shown
const SILENT_MS = 5000; // the daemon reports its state every second

export class Link {
  // base: where the daemon's page is, seen from this one
  constructor({ onMessage, onPicture, onState, base = "" }) {
    Object.assign(this, { onMessage, onPicture, onState, base });
    this.pause = FIRST_PAUSE_MS;
    this.heard = performance.now();
    document.addEventListener("visibilitychange", () => this.ask());
    setInterval(() => this.listen(), 1000);
    this.open();
  }

  open() {
    const url = new URL(`${this.base}live`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "blob";
    let opened = false;
    socket.onopen = () => { opened = true; this.heard = performance.now(); };
    socket.onmessage = ({ data }) => {
      this.heard = performance.now();
      if (typeof data !== "string") return this.show(socket, data);
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.pause = FIRST_PAUSE_MS;
        this.onState("open");
        this.ask();
      }
      this.onMessage(message);
    };
    socket.onclose = ({ code }) => this.lost(socket, opened, code);
    this.socket = socket;
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  // Room for pictures: those that are under way count at the daemon too, so too many questions do no harm.
  ask() {
    if (!document.hidden) for (let count = 0; count < AT_A_TIME; count += 1) this.send({ type: "next" });
  }

  // A picture that cannot be shown is no reason to ask for none any more.
  async show(socket, picture) {
    await this.onPicture(picture).catch((error) => console.warn("a picture was left out:", error));
    if (!document.hidden && socket === this.socket) this.send({ type: "next" });
  }

  // A connection that died without a word, as those of phones do.
  listen() {
    if (this.socket.readyState === WebSocket.OPEN && performance.now() - this.heard > SILENT_MS && !document.hidden) {
      const { socket } = this;
      socket.onclose = null;
      socket.close();
      this.lost(socket, true, 0);
    }
  }

  async lost(socket, opened, code) {
    if (socket !== this.socket) return;
    const why = code === 1013 ? "full" : opened ? "lost" : await this.reason();
    if (why === "login") return location.assign("login");
    this.onState(why);
    setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  // A browser does not report why a websocket was refused: ask.
  async reason() {
    try {
      const answer = await fetch(`${this.base}session`, { cache: "no-store" });
      return answer.status === 401 ? "login" : "lost";
    } catch {
      return "lost";
    }
  }
}
