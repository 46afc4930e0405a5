// The scales: one row of five cells an aspect, a radio group each, of which one row is marked.

const scales = {
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
  },

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
  },

  explain(index, value) {
    const aspect = this.data.aspects[index];
    const shown = value ?? this.draft?.values[aspect.code];
    const anchor = aspect.anchors.find((each) => each.value === shown);
    this.rows[index].querySelector(".meaning").textContent = anchor ? `${shown}: ${anchor.text}` : "";
  },

  mark(index) {
    this.row = index;
    this.rows.forEach((row, place) => row.classList.toggle("now", place === index));
  },

  /** Mark a row. The page follows the keys; under a finger or a mouse it stays where it is. */
  focusRow(index, follow = false) {
    const place = Math.max(0, Math.min(index, this.rows.length - 1));
    this.mark(place);
    const chosen = this.draft?.values[this.data.aspects[place].code] ?? 1;
    this.cells.get(this.data.aspects[place].code)[chosen - 1].focus({ preventScroll: true });
    if (follow) this.rows[place].scrollIntoView({ block: "nearest" });
    this.explain(place);
  },
};
