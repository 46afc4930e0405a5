// Finished forms, kept in this browser until the server says that it has them.
//
// A form gets its id once, is written to localStorage before the next text shows, and leaves only when its id comes back. Each form
// has a key of its own, so tabs that share the outbox cannot overwrite each other. It goes out by plain HTTP; when that fails, by the
// component's trigger value as well; and when the tab closes, by a beacon. The server takes the same form any number of times.

const RETRY_FIRST_MS = 700;
const RETRY_MOST_MS = 3000;
const ANSWER_WITHIN_MS = 8000;
const BATCH = 20;

class Outbox {
  /**
   * @param {string} space  prefix of this annotator's keys
   * @param {string} url    where forms go
   * @param {(forms: object[]) => void} otherWay  sends forms by the component's trigger value
   * @param {(answer: object|null, asked?: number) => void} onChange  called after every change, with the server's answer if there is one
   */
  constructor(space, url, otherWay, onChange) {
    this.prefix = `${space}:form:`;
    this.url = url;
    this.otherWay = otherWay;
    this.onChange = onChange;
    this.memory = new Map(); // what localStorage would not take
    this.state = "saved";
    this.wait = RETRY_FIRST_MS;
    this.busy = false;
    this.timer = null;
    this.order = 0;
    this.emptySince = Infinity; // by this page's own clock
    if (this.waiting().length === 0) this.emptySince = performance.now();
  }

  /** Whether closing the tab could lose a form, because this browser's storage is full or forbidden. */
  get volatile() {
    return this.memory.size > 0;
  }

  add(kind, form) {
    this.order = Math.max(this.order + 1, Date.now());
    const entry = JSON.stringify({ kind, order: this.order, form });
    try {
      localStorage.setItem(this.prefix + form.event_id, entry);
    } catch {
      this.memory.set(form.event_id, entry);
    }
    this.emptySince = Infinity;
    if (this.state === "saved") this.state = "waiting";
    this.onChange(null);
    this.flush();
  }

  /** Everything unacknowledged, of all tabs, in the order in which it was finished. */
  waiting() {
    const texts = [...this.memory.values()];
    try {
      for (let i = 0; i < localStorage.length; i += 1) {
        const key = localStorage.key(i);
        if (key.startsWith(this.prefix)) texts.push(localStorage.getItem(key));
      }
    } catch {
      // no storage: memory has it all
    }
    const entries = [];
    for (const text of texts) {
      try {
        const entry = JSON.parse(text);
        if (typeof entry?.form?.event_id === "string") entries.push(entry);
      } catch {
        // torn by another program: not a form
      }
    }
    return entries.sort((a, b) => a.order - b.order);
  }

  /** Drop what the server has, by id and by nothing else. */
  acknowledge(ids) {
    for (const id of ids) {
      this.memory.delete(id);
      try {
        localStorage.removeItem(this.prefix + id);
      } catch {
        // no storage
      }
    }
    if (this.waiting().length === 0) {
      this.state = "saved";
      this.emptySince = Math.min(this.emptySince, performance.now());
    }
    this.onChange(null);
  }

  async flush() {
    const entries = this.waiting().slice(0, BATCH);
    if (this.busy || entries.length === 0) return;
    this.busy = true;
    clearTimeout(this.timer);
    const asked = performance.now();
    try {
      const answer = await post(this.url, { forms: entries });
      this.wait = RETRY_FIRST_MS;
      this.state = "waiting";
      this.acknowledge(answer.receipts.map((receipt) => receipt.event_id));
      this.onChange(answer, asked);
    } catch (error) {
      this.state = error.status === 401 ? "signed-out" : error.status ? "waiting" : "offline";
      this.onChange(null);
      this.otherWay(entries);
    } finally {
      this.busy = false;
    }
    if (this.waiting().length > 0) this.again();
  }

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), this.wait);
    this.wait = Math.min(this.wait * 1.5, RETRY_MOST_MS);
  }

  /** The tab is closing: hand over what is left; it stays here until it is acknowledged all the same. */
  beacon() {
    const entries = this.waiting().slice(0, BATCH);
    if (entries.length > 0) {
      navigator.sendBeacon(this.url, new Blob([JSON.stringify({ forms: entries })], { type: "application/json" }));
    }
  }

  stop() {
    clearTimeout(this.timer);
  }
}

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!answer.ok) {
    const error = new Error(`HTTP ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return answer.json();
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // plain http has no randomUUID
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
