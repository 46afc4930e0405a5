"use strict";
(() => {
  // Sorting. Incomplete runs and missing values stay last; values made differently are never mixed.
  const compare = (column, kind, sign) => (one, other) => {
    if (one.dataset.complete !== other.dataset.complete) return one.dataset.complete === "1" ? -1 : 1;
    const [a, b] = [one.cells[column].dataset, other.cells[column].dataset];
    if (kind === "text") return sign * a.sort.localeCompare(b.sort, "en", { numeric: true });
    if ((a.sort === "") !== (b.sort === "")) return a.sort === "" ? 1 : -1;
    if (a.sort === "") return 0;
    if (a.group !== b.group) return Number(a.group) - Number(b.group);
    return sign * (Number(a.sort) - Number(b.sort));
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      button.disabled = false;
      button.addEventListener("click", () => {
        const first = button.dataset.first ?? "ascending";
        const opposite = first === "ascending" ? "descending" : "ascending";
        const direction = head.getAttribute("aria-sort") === first ? opposite : first;
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", direction);
        const order = compare(column, button.dataset.kind, direction === "ascending" ? 1 : -1);
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
      });
    });
  }

  // Rows that hold every word of the filter; columns that are ticked.
  for (const board of document.querySelectorAll("[data-board]")) {
    const table = board.querySelector("table[data-sortable]");
    const tools = board.querySelector(".board-tools");
    if (!table || !tools) continue;
    tools.hidden = false;
    const input = tools.querySelector("input[type=search]");
    const tally = tools.querySelector(".tally");
    const rows = [...table.tBodies[0].rows].map((row) => [row, row.cells[0].textContent.toLowerCase()]);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let found = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        found += row.hidden ? 0 : 1;
      }
      tally.textContent = words.length ? `${found} of ${rows.length} systems` : `${rows.length} systems`;
    });
    const boxes = [...tools.querySelectorAll("input[type=checkbox]")];
    const kinds = [...table.querySelectorAll(".kinds th")];
    const show = (box) => {
      const column = Number(box.value) + 2;
      for (const row of [table.tHead.rows[table.tHead.rows.length - 1], ...table.tBodies[0].rows]) row.cells[column].hidden = !box.checked;
      let start = 0;
      for (const kind of kinds) {
        const count = boxes.slice(start, start += Number(kind.dataset.count)).filter((each) => each.checked).length;
        kind.hidden = count === 0;
        kind.colSpan = Math.max(count, 1);
      }
    };
    for (const box of boxes) box.addEventListener("change", () => show(box));
    const picker = tools.querySelector(".picker");
    picker.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && picker.open) { picker.open = false; picker.querySelector("summary").focus(); }
    });
  }

  // The drawing of one column at a time.
  for (const figure of document.querySelectorAll(".figure[data-figures]")) {
    const select = figure.querySelector("select");
    const parts = [...figure.querySelectorAll("[data-figure]")];
    select.parentElement.hidden = false;
    select.addEventListener("change", () => { for (const part of parts) part.hidden = part.dataset.figure !== select.value; });
  }
})();
