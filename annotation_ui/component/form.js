// What happens to the form: a value is set, moved or taken back; the whole is saved.

const form = {
  choose(index, value, input) {
    if (!this.draft || this.held) return;
    if (input !== "keys" && this.draft.dwell < this.data.dwell_ms) return; // a double click's second half, meant for the last text
    this.draft.set(this.data.aspects[index].code, value, input);
    this.hint("");
    this.paint();
    this.explain(index);
    this.focusRow(Math.min(index + 1, this.rows.length - 1), input === "keys");
  },

  slide(side) {
    const value = this.draft?.values[this.data.aspects[this.row].code];
    const next = value === undefined ? (side > 0 ? 1 : 5) : value + side;
    if (this.held || next < 1 || next > 5) return;
    this.draft.set(this.data.aspects[this.row].code, next, "keys");
    this.paint();
    this.focusRow(this.row, true);
  },

  undo() {
    if (this.held) return;
    const aspect = this.draft?.undo();
    if (!aspect) return;
    this.paint();
    this.focusRow(this.data.aspects.findIndex((each) => each.code === aspect), true);
  },

  save(input) {
    if (!this.draft || this.held) return;
    const missing = this.data.aspects.findIndex((aspect) => !(aspect.code in this.draft.values));
    if (missing >= 0) {
      this.hint(fill(this.data.words.missing, this.data.aspects[missing].label));
      this.focusRow(missing, true);
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
  },

  /** Into the outbox first, and only then on to the next text. */
  finish(kind, form) {
    const slot = this.queue[0];
    this.done.add(slot.slot);
    this.queue.shift();
    this.draft.forget();
    this.draft = null;
    remember(`${this.space}:done`, [...this.done].slice(-500));
    this.outbox.add(kind, form);
  },
};
