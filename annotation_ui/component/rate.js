// The rating screen. It owns the keys, the queue of texts and the form; Streamlit only brings the first texts and may take forms.

const CLIENT = "seetell-rate/1";
const FETCH_UNDER = 3; // texts left in the queue when more are asked for
const WAIT_FOR_WORK_MS = 5000;
const RARELY = 12; // every so many times, where what is left is kept for others
const TRIGGER_EVERY_MS = 5000;

class Rate {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.space = data.space;
    this.queue = [];
    this.stamp = 0; // of the newest list of texts; older ones that arrive late are not believed
    this.takenAt = 0; // when that list came, by this page's own clock
    this.draft = null;
    this.row = 0;
    this.held = false; // Enter came before the text had been shown long enough
    this.ended = "";
    this.ticks = 0; // of the clock that asks for work
    this.asking = false;
    this.pictures = new Map();
    this.build();
    this.done = new Set(recall(`${this.space}:done`)); // slots that were finished in this tab
    this.outbox = new Outbox(this.space, data.urls.outbox, (forms) => this.trigger(forms), (answer, asked) => this.onAnswer(answer, asked));
    for (const entry of this.outbox.waiting()) if (entry.kind !== "flag") this.done.add(entry.form.slot);
    this.listen();
    this.onAnswer(data);
    this.outbox.flush();
  }

  /** Streamlit ran the script again: new texts, receipts, perhaps another language. */
  refresh(data, trigger) {
    this.setTrigger = trigger;
    this.data = data;
    this.label();
    this.outbox.acknowledge(data.receipts.map((receipt) => receipt.event_id));
    this.onAnswer(data);
  }

  trigger(forms) {
    if (!this.setTrigger || performance.now() - (this.triggered ?? -Infinity) < TRIGGER_EVERY_MS) return;
    this.triggered = performance.now();
    this.setTrigger("outbox", { forms });
  }

  // ---- building -------------------------------------------------------------------------------------------------------------

  $(selector) {
    return this.root.querySelector(selector);
  }

  build() {
    this.rate = this.$(".rate");
    this.empty = this.$(".empty");
    this.images = this.root.querySelectorAll(".zoom img, .large img");
    this.cells = new Map();
    this.rows = this.data.aspects.map((aspect, index) => this.buildRow(aspect, index));
    this.$(".scales").replaceChildren(...this.rows);
    for (const dialog of this.root.querySelectorAll("dialog")) {
      dialog.querySelector(".close").onclick = () => dialog.close();
      dialog.addEventListener("close", () => this.focusRow(this.row));
    }
    this.$(".save").onclick = (event) => event.detail > 1 || this.save(event.detail ? "mouse" : "keys");
    this.$(".skip").onclick = () => this.askReason("skip");
    this.$(".flag").onclick = () => this.askReason("flag");
    this.$(".guide").onclick = () => this.showGuidelines();
    this.$(".help").onclick = () => this.showHelp();
    this.$(".zoom").onclick = () => this.zoom();
    this.$(".zoom img").onload = () => this.pictureState("shown");
    this.$(".zoom img").onerror = () => this.pictureState("failed");
    this.$(".large img").onclick = (event) => event.target.classList.toggle("full");
    this.$(".reasons form").onsubmit = (event) => this.sendReason(event);
    this.label();
  }

  label() {
    const { words } = this.data;
    const key = (name, text, hint) => {
      const button = this.$(name);
      button.replaceChildren(text);
      if (hint) {
        const kbd = element("kbd", "", hint);
        kbd.setAttribute("aria-hidden", "true");
        button.append(kbd);
      }
    };
    key(".rate .save", words.save, "Enter");
    key(".rate .actions .skip", words.skip, "S");
    key(".rate .actions .flag", words.flag, "F");
    key(".rate .actions .guide", words.guidelines, "G");
    key(".rate .actions .help", words.help, "?");
    this.$(".zoom").setAttribute("aria-label", words.zoom);
    this.$("progress").setAttribute("aria-label", words.progress);
    for (const close of this.root.querySelectorAll(".close")) close.textContent = words.close;
    this.$("#large-title").textContent = words.image;
    const dark = luminance(getComputedStyle(document.querySelector(".stApp") ?? document.body).backgroundColor) < 0.4;
    for (const part of [this.rate, this.empty]) part.classList.toggle("dark", dark);
    this.rate.lang = words.lang;
    this.empty.lang = words.lang;
  }

  // ---- listening ------------------------------------------------------------------------------------------------------------

  listen() {
    this.off = new AbortController();
    const { signal } = this.off;
    window.addEventListener("keydown", (event) => this.key(event), { capture: true, signal });
    window.addEventListener("online", () => this.online(), { signal });
    window.addEventListener("offline", () => this.outbox.flush(), { signal });
    window.addEventListener("beforeunload", (event) => this.outbox.volatile && event.preventDefault(), { signal });
    window.addEventListener("pagehide", () => this.outbox.beacon(), { signal });
    document.addEventListener("visibilitychange", () => this.seen(), { signal });
    this.clock = setInterval(() => this.idle(), WAIT_FOR_WORK_MS);
    this.themes = new MutationObserver(() => this.label());
    const app = document.querySelector(".stApp");
    if (app) this.themes.observe(app, { attributes: true, attributeFilter: ["class", "style"] });
  }

  stop() {
    this.off.abort();
    this.themes.disconnect();
    clearInterval(this.clock);
    clearTimeout(this.holding);
    clearTimeout(this.pictureTimer);
    this.outbox.stop();
  }

  online() {
    this.outbox.flush();
    this.reloadPicture();
  }

  seen() {
    this.draft?.tick();
    if (document.hidden) this.draft?.keep();
    else this.outbox.flush();
  }

  idle() {
    const patience = { "": 1, wait: 1, reserved: RARELY }[this.ended]; // nothing for other ends: they are final
    this.ticks += 1;
    if (patience && this.queue.length < FETCH_UNDER && this.ticks % patience === 0) this.ask();
  }

  // ---- work -----------------------------------------------------------------------------------------------------------------

  /** Something changed: texts came (`asked`: when for), forms were acknowledged, the line went down. */
  onAnswer(answer, asked) {
    if (answer?.work) this.take(answer.work, answer.progress, asked);
    const waiting = this.outbox ? this.outbox.waiting().length : 0;
    const state = this.outbox ? this.outbox.state : "saved";
    const { words } = this.data;
    const texts = { saved: words.saved, waiting: fill(words.waiting, waiting), offline: fill(words.offline, waiting), "signed-out": fill(words.signed_out, waiting) };
    const text = this.outbox?.volatile ? `${texts[state]} – ${words.keep_open}` : texts[state];
    for (const pill of this.root.querySelectorAll(".state")) {
      if (pill.textContent !== text) pill.textContent = text;
      pill.dataset.state = state;
    }
    this.show();
  }

  /**
   * Take a list of texts, unless a newer one was taken before. One that was asked for after that had come is newer, whatever the
   * server's clock says; and once nothing is under way, what it lists is unrated, whatever this tab remembers.
   */
  take(work, progress, asked = 0) {
    if (work.stamp <= this.stamp && asked <= this.takenAt) return;
    this.stamp = work.stamp;
    this.takenAt = performance.now();
    if (this.outbox && asked > this.outbox.emptySince && this.outbox.waiting().length === 0) this.forgetDone();
    const listed = work.slots.filter((slot) => !this.done.has(slot.slot));
    const now = this.draft && this.draft.order.length > 0 ? this.queue[0] : null; // begun: stays, whatever the list says
    this.queue = now ? [now, ...listed.filter((slot) => slot.slot !== now.slot)] : listed;
    if (progress) this.progress = progress;
    this.ended = work.slots.length === 0 ? work.message : "";
    for (const slot of this.queue.slice(0, 1 + FETCH_UNDER)) this.preload(slot);
  }

  forgetDone() {
    this.done.clear();
    remember(`${this.space}:done`, []);
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    const asked = performance.now();
    try {
      this.onAnswer(await post(this.data.urls.next, {}), asked);
    } catch (error) {
      if (error.status && this.setTrigger) this.setTrigger("more", Date.now()); // else the clock asks again
    } finally {
      this.asking = false;
    }
  }

  /** Show the first text of the queue, unless it is on the screen already. */
  show() {
    const slot = this.queue[0];
    this.rate.hidden = !slot;
    this.empty.hidden = Boolean(slot);
    if (!slot) {
      this.draft = null;
      this.showEmpty();
      return;
    }
    this.showProgress(slot);
    if (this.draft?.slot.slot === slot.slot) return;
    this.draft = new Draft(this.space, slot, this.data.aspects.map((aspect) => aspect.code));
    this.held = false;
    const { words } = this.data;
    this.$(".prompt").hidden = !slot.prompt;
    this.$(".prompt").textContent = slot.prompt;
    this.$(".text").textContent = slot.text;
    this.showPicture(slot);
    this.hint("");
    this.paint();
    const first = this.data.aspects.findIndex((aspect) => !(aspect.code in this.draft.values));
    this.focusRow(first < 0 ? this.rows.length - 1 : first);
    if (this.rate.getBoundingClientRect().top < 0) this.rate.scrollIntoView(); // a phone's window is left at the foot of the last text
  }

  showProgress(slot) {
    const { words } = this.data;
    const finished = slot.number - 1;
    this.$(".count").textContent = fill(words.count, finished + 1, Math.max(slot.of, finished + 1));
    this.$("progress").max = Math.max(slot.of, 1);
    this.$("progress").value = finished;
    const left = Math.max(slot.of - finished, 0);
    const minutes = Math.max(1, Math.round((left * (this.progress?.median_seconds ?? 30)) / 60));
    this.$(".left").textContent = fill(words.left, minutes);
  }

  showEmpty() {
    const { words } = this.data;
    const why = this.$(".why");
    const text = words[`end_${this.ended}`] ?? words.end_wait;
    if (why.textContent !== text) why.textContent = text;
    const on = this.$(".on");
    on.hidden = !["finished", "reserved"].includes(this.ended) || this.outbox?.state !== "saved";
    on.textContent = words.to_done;
    on.href = this.data.urls.done;
  }

  hint(text) {
    this.$(".hint").textContent = text;
  }
}

Object.assign(Rate.prototype, keys, scales, form, picture, dialogs);

const screens = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let screen = screens.get(parentElement);
  if (screen && screen.root.querySelector(".rate") === screen.rate && screen.space === data.space) {
    clearTimeout(screen.leaving);
    screen.refresh(data, setTriggerValue);
  } else {
    screen?.stop();
    screen = new Rate(parentElement, data);
    screen.setTrigger = setTriggerValue;
    screens.set(parentElement, screen);
  }
  const kept = screen;
  return () => {
    kept.leaving = setTimeout(() => {
      kept.outbox.beacon();
      kept.stop();
      screens.delete(parentElement);
    }, 50);
  };
}
