// The form that is being filled in: its values, and how long somebody really looked at it.

class Draft {
  constructor(space, slot, aspects) {
    this.key = `${space}:draft`;
    this.slot = slot;
    this.aspects = aspects;
    this.values = {};
    this.order = []; // aspects in the order in which they were set, for Backspace
    this.changes = 0;
    this.shownAt = Date.now();
    this.firstAt = null;
    this.input = "keys";
    this.activeMs = 0;
    this.hiddenMs = 0;
    this.since = performance.now();
    this.hidden = document.hidden;
    this.born = performance.now();
    this.restore();
  }

  get complete() {
    return this.aspects.every((aspect) => aspect in this.values);
  }

  /** Milliseconds that this text has been on this screen. */
  get dwell() {
    return performance.now() - this.born;
  }

  set(aspect, value, input) {
    if (this.values[aspect] === value) return;
    if (aspect in this.values) this.changes += 1;
    this.values[aspect] = value;
    this.order = this.order.filter((each) => each !== aspect).concat(aspect);
    this.firstAt = this.firstAt ?? Date.now();
    this.input = input;
    this.keep();
  }

  /** Take back the value that was set last; which aspect that was, or null. */
  undo() {
    const aspect = this.order.pop() ?? null;
    if (aspect !== null) {
      delete this.values[aspect];
      this.changes += 1;
      this.keep();
    }
    return aspect;
  }

  /** Count the time since the last call as looked at or hidden. */
  tick() {
    const now = performance.now();
    if (this.hidden) this.hiddenMs += now - this.since;
    else this.activeMs += now - this.since;
    this.since = now;
    this.hidden = document.hidden;
  }

  keep() {
    this.tick();
    const { values, order, changes, shownAt, firstAt, activeMs, hiddenMs } = this;
    try {
      const draft = { slot: this.slot.slot, values, order, changes, shownAt, firstAt, activeMs, hiddenMs };
      localStorage.setItem(this.key, JSON.stringify(draft));
    } catch {
      // no storage: the form is in memory until it is finished
    }
  }

  /** A reload in the middle of a form loses nothing. */
  restore() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.key) ?? "null");
      if (kept?.slot !== this.slot.slot) return;
      for (const aspect of kept.order) {
        const value = kept.values[aspect];
        if (this.aspects.includes(aspect) && Number.isInteger(value) && value >= 1 && value <= 5) {
          this.values[aspect] = value;
          this.order.push(aspect);
        }
      }
      for (const name of ["changes", "shownAt", "firstAt", "activeMs", "hiddenMs"]) this[name] = kept[name] ?? this[name];
    } catch {
      // not ours, or torn: start again
    }
  }

  forget() {
    try {
      localStorage.removeItem(this.key);
    } catch {
      // no storage
    }
  }

  finish(client) {
    this.tick();
    return {
      event_id: uuid(),
      slot: this.slot.slot,
      revision: this.slot.revision + 1,
      values: { ...this.values },
      shown_at: this.shownAt,
      first_at: this.firstAt,
      sent_at: Date.now(),
      active_ms: Math.round(this.activeMs),
      hidden_ms: Math.round(this.hiddenMs),
      changes: this.changes,
      input: this.input,
      client,
    };
  }
}
