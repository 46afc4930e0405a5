"use strict";
(() => {
  // Filter: every word must occur somewhere in the example's texts.
  for (const gallery of document.querySelectorAll("[data-gallery]")) {
    const input = gallery.querySelector("input");
    const tally = gallery.querySelector(".tally");
    const total = Number(tally.dataset.total);
    const examples = [...gallery.querySelectorAll(".example")].map((element) => [element, element.textContent.toLowerCase()]);
    gallery.querySelector(".tools").hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const [element, text] of examples) {
        element.hidden = !words.every((word) => text.includes(word));
        found += element.hidden ? 0 : 1;
      }
      tally.textContent = words.length ? `${found} of ${total} examples` : `${total} examples`;
    });
  }
})();
