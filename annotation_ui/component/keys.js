// The keys: handled before every other listener of the page, so that neither Streamlit's shortcuts nor the focus takes one.

const keys = {
  key(event) {
    if (this.rate.hidden || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.composedPath()[0];
    const dialog = this.root.querySelector("dialog[open]");
    if (dialog) {
      this.dialogKey(event, dialog, at);
      return;
    }
    const inside = event.composedPath().includes(this.rate);
    const key = meant(event);
    if (!inside && (isField(at) || (!isChoice(key) && isControl(at)))) return;
    const action = this.actionOf(key, inside, at);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) action();
  },

  actionOf(key, inside, at) {
    if (isChoice(key)) return () => this.choose(this.row, Number(key), "keys");
    if (key === "Enter") return inside && isAction(at) ? null : () => this.save("keys");
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (step) return () => this.focusRow(this.row + step, true);
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
  },

  dialogKey(event, dialog, at) {
    event.stopImmediatePropagation(); // nothing behind a dialog receives a key; the browser closes it on Escape
    const key = meant(event).toLowerCase();
    const sameAgain = { panel: "g?", large: "z" }[dialog.className]?.includes(key);
    if (sameAgain && !event.repeat) {
      event.preventDefault();
      dialog.close();
    } else if (dialog.className === "reasons" && !isField(at) && isChoice(key)) {
      const choice = dialog.querySelectorAll('input[type="radio"]')[Number(key) - 1];
      if (choice) {
        event.preventDefault();
        choice.checked = true;
        choice.focus();
      }
    }
  },
};

/** The key that was meant: the row of digits without Shift where, as in French, digits want Shift. */
function meant(event) {
  const digit = event.shiftKey ? null : /^Digit([1-5])$/.exec(event.code ?? "");
  return digit ? digit[1] : event.key;
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
