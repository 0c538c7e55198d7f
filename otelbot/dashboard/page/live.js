/** Hears from the server what has changed, and says when to fetch again. */

const listeners = new Set();
/** What the server said last: {versions, time, troubles, firing}, or null. */
let state = null;
let connected = false;
let paused = false;
let source = null;

export const live = {
  get state() {
    return state;
  },
  /** "live", "paused" or "lost". */
  get status() {
    return paused ? "paused" : connected ? "live" : "lost";
  },
  /** Whether what is shown may change now. */
  get flows() {
    return !paused && !document.hidden;
  },
};

/** Call `heard` at each news of the server and each change of the connection; returns what ends that. */
export function listen(heard) {
  listeners.add(heard);
  return () => listeners.delete(heard);
}

const tell = () => listeners.forEach((heard) => heard());

export function togglePause() {
  paused = !paused;
  tell();
}

export function connect() {
  source?.close();
  source = new EventSource("/api/live");
  source.addEventListener("open", () => {
    connected = true;
    tell();
  });
  source.addEventListener("state", (event) => {
    connected = true;
    state = JSON.parse(event.data);
    tell();
  });
  source.addEventListener("error", () => {
    connected = false;
    tell();
    // The browser tries again by itself, except after an answer that is no event stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  });
}

document.addEventListener("visibilitychange", tell);

/**
 * Runs `load` now and again when one of `signals` has changed, at most every `pause` milliseconds, one at a time.
 * `load` gets whether it is a refresh; what it throws goes to `failed`.
 */
export class Refresher {
  constructor(signals, pause, load, failed) {
    Object.assign(this, { signals, pause, load, failed });
    this.seen = null;
    this.last = 0;
    this.running = false;
    this.again = false;
    this.timer = null;
    this.stop = listen(() => this.consider());
  }

  versions() {
    return JSON.stringify(this.signals.map((signal) => state?.versions?.[signal] ?? null));
  }

  consider() {
    if (this.timer !== null || this.running || !live.flows || state === null || !this.signals.length) return;
    if (this.seen === this.versions()) return;
    const wait = Math.max(0, this.last + this.pause - Date.now());
    this.timer = setTimeout(() => {
      this.timer = null;
      if (live.flows) this.run(true);
    }, wait);
  }

  async run(refresh = false) {
    if (this.running) {
      this.again = true; // filters have changed meanwhile
      return;
    }
    this.running = true;
    try {
      do {
        if (this.again) refresh = false;
        this.again = false;
        this.seen = this.versions();
        await this.load(refresh);
      } while (this.again && !this.closed);
    } catch (error) {
      if (!this.closed) this.failed(error, refresh);
    } finally {
      this.running = false;
      this.last = Date.now();
    }
    if (!this.closed) this.consider();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.stop();
  }
}
