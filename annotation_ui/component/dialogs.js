// The windows over the rating screen: a reason for skipping or flagging, the guidelines, the keys, the image enlarged.

const dialogs = {
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
  },

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
  },

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
  },

  showHelp() {
    const list = element("dl");
    for (const [keys, meaning] of this.data.words.keys) list.append(element("dt", "", keys), element("dd", "", meaning));
    this.panel(this.data.words.help, [list]);
  },

  panel(title, parts) {
    const dialog = this.$(".panel");
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector(".content").replaceChildren(...parts);
    dialog.showModal();
    dialog.querySelector("h2").focus();
  },
};
