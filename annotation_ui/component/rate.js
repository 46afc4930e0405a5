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
    this.draft = null;
    this.row = 0;
    this.held = false; // Enter came before the text had been shown long enough
    this.ended = "";
    this.ticks = 0; // of the clock that asks for work
    this.asking = false;
    this.pictures = new Map();
    this.build();
    this.done = new Set(recall(`${this.space}:done`)); // slots that were finished in this tab
    this.outbox = new Outbox(this.space, data.urls.outbox, (forms) => this.trigger(forms), (answer) => this.heard(answer));
    for (const entry of this.outbox.waiting()) if (entry.kind !== "flag") this.done.add(entry.form.slot);
    this.listen();
    this.heard(data);
    this.outbox.flush();
  }

  /** Streamlit ran the script again: new texts, receipts, perhaps another language. */
  refresh(data, trigger) {
    this.setTrigger = trigger;
    this.data = data;
    this.label();
    this.outbox.acknowledge(data.receipts.map((receipt) => receipt.event_id));
    this.heard(data);
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
    this.$(".zoom img").onload = (event) => this.pictureState(event.target, true);
    this.$(".zoom img").onerror = (event) => this.pictureState(event.target, false);
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
    this.$(".no-image").textContent = words.no_image;
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
    window.addEventListener("online", () => this.outbox.flush(), { signal });
    window.addEventListener("offline", () => this.outbox.flush(), { signal });
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
    this.outbox.stop();
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

  /** Something changed: texts came, forms were acknowledged, the line went down. */
  heard(answer) {
    if (answer?.work) this.take(answer.work, answer.progress);
    const waiting = this.outbox ? this.outbox.waiting().length : 0;
    const state = this.outbox ? this.outbox.state : "saved";
    const { words } = this.data;
    const texts = { saved: words.saved, waiting: fill(words.waiting, waiting), offline: fill(words.offline, waiting), "signed-out": words.signed_out };
    for (const pill of this.root.querySelectorAll(".state")) {
      if (pill.textContent !== texts[state]) pill.textContent = texts[state];
      pill.dataset.state = state;
    }
    this.show();
  }

  take(work, progress) {
    if (work.stamp <= this.stamp) return;
    this.stamp = work.stamp;
    const listed = work.slots.filter((slot) => !this.done.has(slot.slot));
    const now = this.draft && this.draft.order.length > 0 ? this.queue[0] : null; // begun: stays, whatever the list says
    this.queue = now ? [now, ...listed.filter((slot) => slot.slot !== now.slot)] : listed;
    if (progress) this.progress = progress;
    this.ended = work.slots.length === 0 ? work.message : "";
    for (const slot of this.queue.slice(0, 1 + FETCH_UNDER)) this.preload(slot);
  }

  preload(slot) {
    if (!slot.media || this.pictures.has(slot.media)) return;
    const picture = new Image();
    picture.src = this.data.urls.image + encodeURIComponent(slot.media);
    this.pictures.set(slot.media, picture);
    if (this.pictures.size > 30) this.pictures.delete(this.pictures.keys().next().value);
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.heard(await post(this.data.urls.next, {}));
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
    this.$(".picture").hidden = !slot.media;
    if (slot.media) {
      const url = this.data.urls.image + encodeURIComponent(slot.media);
      for (const image of this.root.querySelectorAll(".zoom img, .large img")) {
        if (image.getAttribute("src") !== url) image.src = url;
        image.alt = words.image_alt;
      }
    }
    this.hint("");
    this.paint();
    const first = this.data.aspects.findIndex((aspect) => !(aspect.code in this.draft.values));
    this.focusRow(first < 0 ? this.rows.length - 1 : first);
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

  pictureState(image, whole) {
    image.hidden = !whole;
    this.$(".no-image").hidden = whole;
  }

}

Object.assign(Rate.prototype, keys, scales, form, dialogs);

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
