// The rating screen. It owns the keys, the queue of texts and the form; Streamlit only brings the first texts and may take forms.

const CLIENT = "seetell-rate/1";
const FETCH_UNDER = 3; // texts left in the queue when more are asked for
const WAIT_FOR_WORK_MS = 5000;
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

  buildRow(aspect, index) {
    const label = element("span", "label", aspect.label);
    label.id = `label-${index}`;
    label.title = aspect.definition;
    const meaning = element("span", "meaning", "");
    meaning.id = `meaning-${index}`;
    const cells = element("div", "cells");
    cells.setAttribute("role", "radiogroup");
    cells.setAttribute("aria-labelledby", label.id);
    for (let value = 1; value <= 5; value += 1) {
      const cell = element("button", "", String(value));
      cell.type = "button";
      cell.setAttribute("role", "radio");
      cell.setAttribute("aria-checked", "false");
      cell.tabIndex = -1;
      const anchor = aspect.anchors.find((each) => each.value === value);
      if (anchor) {
        cell.setAttribute("aria-label", `${value}: ${anchor.text}`);
        cell.title = anchor.text;
      }
      cell.onclick = (event) => this.choose(index, value, event.pointerType === "touch" ? "touch" : event.detail ? "mouse" : "keys");
      cell.onpointerenter = () => this.explain(index, value);
      cell.onfocus = () => {
        this.mark(index);
        this.explain(index, value);
      };
      cells.append(cell);
    }
    cells.onpointerleave = () => this.explain(index);
    const row = element("div", "row");
    row.append(label, cells, meaning);
    this.cells.set(aspect.code, [...cells.children]);
    return row;
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
    if (this.queue.length < FETCH_UNDER && (!this.ended || this.ended === "wait")) this.ask();
  }

  key(event) {
    if (this.rate.hidden || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.composedPath()[0];
    const dialog = this.root.querySelector("dialog[open]");
    if (dialog) {
      this.dialogKey(event, dialog, at);
      return;
    }
    const inside = event.composedPath().includes(this.rate);
    if (!inside && (isField(at) || (!isChoice(event.key) && isControl(at)))) return;
    const action = this.actionOf(event.key, inside, at);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) action();
  }

  actionOf(key, inside, at) {
    if (isChoice(key)) return () => this.choose(this.row, Number(key), "keys");
    if (key === "Enter") return inside && isAction(at) ? null : () => this.save("keys");
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (step) return () => this.focusRow(this.row + step);
    const side = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (side) return () => this.slide(side);
    return {
      Backspace: () => this.undo(),
      s: () => this.askReason("skip"),
      f: () => this.askReason("flag"),
      g: () => this.showGuidelines(),
      z: () => this.zoom(),
      "?": () => this.showHelp(),
      r: () => {}, // Streamlit's own shortcut, which would run the script again
      c: () => {},
    }[key.length === 1 ? key.toLowerCase() : key];
  }

  dialogKey(event, dialog, at) {
    event.stopImmediatePropagation(); // nothing behind a dialog hears a key; the browser closes it on Escape
    const key = event.key.toLowerCase();
    const sameAgain = { panel: "g?", large: "z" }[dialog.className]?.includes(key);
    if (sameAgain && !event.repeat) {
      event.preventDefault();
      dialog.close();
    } else if (dialog.className === "reasons" && !isField(at) && isChoice(event.key)) {
      const choice = dialog.querySelectorAll('input[type="radio"]')[Number(event.key) - 1];
      if (choice) {
        event.preventDefault();
        choice.checked = true;
        choice.focus();
      }
    }
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
    on.hidden = this.ended !== "finished" || this.outbox?.state !== "saved";
    on.textContent = words.to_done;
    on.href = this.data.urls.done;
  }

  // ---- the form -------------------------------------------------------------------------------------------------------------

  choose(index, value, input) {
    if (!this.draft || this.held) return;
    this.draft.set(this.data.aspects[index].code, value, input);
    this.hint("");
    this.paint();
    this.explain(index);
    this.focusRow(Math.min(index + 1, this.rows.length - 1));
  }

  slide(side) {
    const value = this.draft?.values[this.data.aspects[this.row].code];
    const next = value === undefined ? (side > 0 ? 1 : 5) : value + side;
    if (this.held || next < 1 || next > 5) return;
    this.draft.set(this.data.aspects[this.row].code, next, "keys");
    this.paint();
    this.focusRow(this.row);
  }

  undo() {
    if (this.held) return;
    const aspect = this.draft?.undo();
    if (!aspect) return;
    this.paint();
    this.focusRow(this.data.aspects.findIndex((each) => each.code === aspect));
  }

  save(input) {
    if (!this.draft || this.held) return;
    const missing = this.data.aspects.findIndex((aspect) => !(aspect.code in this.draft.values));
    if (missing >= 0) {
      this.hint(fill(this.data.words.missing, this.data.aspects[missing].label));
      this.focusRow(missing);
      return;
    }
    const early = this.data.dwell_ms - this.draft.dwell;
    if (early > 0) {
      this.held = true; // nobody has read it yet; what is pressed meanwhile belongs to no text and is not taken
      this.holding = setTimeout(() => {
        this.held = false;
        this.save(input);
      }, early);
      return;
    }
    this.finish("rate", this.draft.finish(CLIENT));
  }

  /** Into the outbox first, and only then on to the next text. */
  finish(kind, form) {
    const slot = this.queue[0];
    this.done.add(slot.slot);
    this.queue.shift();
    this.draft.forget();
    this.draft = null;
    remember(`${this.space}:done`, [...this.done].slice(-500));
    this.outbox.add(kind, form);
  }

  paint() {
    this.data.aspects.forEach((aspect, index) => {
      const chosen = this.draft.values[aspect.code];
      this.cells.get(aspect.code).forEach((cell, place) => {
        cell.setAttribute("aria-checked", String(place + 1 === chosen));
        cell.tabIndex = place + 1 === (chosen ?? 1) ? 0 : -1;
      });
      this.explain(index);
    });
    this.$(".save").setAttribute("aria-disabled", String(!this.draft.complete));
  }

  explain(index, value) {
    const aspect = this.data.aspects[index];
    const shown = value ?? this.draft?.values[aspect.code];
    const anchor = aspect.anchors.find((each) => each.value === shown);
    this.rows[index].querySelector(".meaning").textContent = anchor ? `${shown}: ${anchor.text}` : "";
  }

  mark(index) {
    this.row = index;
    this.rows.forEach((row, place) => row.classList.toggle("now", place === index));
  }

  focusRow(index) {
    const place = Math.max(0, Math.min(index, this.rows.length - 1));
    this.mark(place);
    const chosen = this.draft?.values[this.data.aspects[place].code] ?? 1;
    this.cells.get(this.data.aspects[place].code)[chosen - 1].focus({ preventScroll: true });
    this.explain(place);
  }

  hint(text) {
    this.$(".hint").textContent = text;
  }

  pictureState(image, whole) {
    image.hidden = !whole;
    this.$(".no-image").hidden = whole;
  }

  // ---- dialogs --------------------------------------------------------------------------------------------------------------

  askReason(kind) {
    if (!this.draft || this.held) return;
    const { words } = this.data;
    const dialog = this.$(".reasons");
    this.reasonKind = kind;
    dialog.querySelector("h2").textContent = kind === "skip" ? words.skip_title : words.flag_title;
    dialog.querySelector(".about").textContent = kind === "skip" ? words.skip_about : words.flag_about;
    dialog.querySelector(".note span").textContent = words.note;
    dialog.querySelector("textarea").value = "";
    dialog.querySelector(".send").textContent = kind === "skip" ? words.skip : words.flag;
    const choices = this.data.reasons.map((reason, index) => {
      const label = element("label");
      const input = element("input");
      Object.assign(input, { type: "radio", name: "reason", value: reason, required: true });
      label.append(input, element("span", "", `${index + 1}. ${words[`reason_${reason}`] ?? reason}`));
      return label;
    });
    const legend = element("legend", "", words.reason);
    dialog.querySelector("fieldset").replaceChildren(legend, ...choices);
    dialog.showModal();
    choices[0]?.querySelector("input").focus();
  }

  sendReason(event) {
    event.preventDefault();
    const dialog = this.$(".reasons");
    const reason = dialog.querySelector("input:checked")?.value;
    if (!reason || !this.draft) return;
    const note = dialog.querySelector("textarea").value;
    const form = { event_id: uuid(), slot: this.draft.slot.slot, reason, note };
    dialog.close();
    if (this.reasonKind === "skip") this.finish("skip", form);
    else {
      this.outbox.add("flag", form);
      this.hint(this.data.words.flagged);
    }
  }

  showGuidelines() {
    const parts = [];
    for (const aspect of this.data.aspects) {
      const list = element("dl");
      for (const anchor of aspect.anchors) {
        const meaning = element("dd", "", anchor.text);
        if (anchor.example) meaning.append(element("em", "", anchor.example));
        list.append(element("dt", "", String(anchor.value)), meaning);
      }
      parts.push(element("h3", "", aspect.label), element("p", "", aspect.definition), list);
    }
    this.panel(this.data.words.guidelines, parts);
  }

  showHelp() {
    const list = element("dl");
    for (const [keys, meaning] of this.data.words.keys) list.append(element("dt", "", keys), element("dd", "", meaning));
    this.panel(this.data.words.help, [list]);
  }

  panel(title, parts) {
    const dialog = this.$(".panel");
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector(".content").replaceChildren(...parts);
    dialog.showModal();
    dialog.querySelector("h2").focus();
  }

  zoom() {
    if (!this.draft?.slot.media) return;
    this.$(".large").showModal();
  }
}

function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // no storage
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // whatever it says, it is text
  return made;
}

function fill(pattern, ...values) {
  return values.reduce((text, value, index) => text.replaceAll(`{${index}}`, String(value)), pattern);
}

function isChoice(key) {
  return key >= "1" && key <= "5" && key.length === 1;
}

function isField(at) {
  return at instanceof Element && (at.matches("textarea, select, input:not([type=radio]):not([type=checkbox])") || at.isContentEditable);
}

function isControl(at) {
  return at instanceof Element && at.matches("a, button, input, summary, [role=button], [role=tab], [role=option], [tabindex='0']");
}

function isAction(at) {
  return at instanceof Element && at.matches("a, button:not([role=radio])");
}

function luminance(colour) {
  const [red, green, blue] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}

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
