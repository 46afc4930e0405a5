"use strict";
// The page reads well without this: it adds sorting, filtering and the choice of theme.
(() => {
  const root = document.documentElement;

  // Theme: the reader's choice where there is one, the system's otherwise.
  const remember = (theme) => { try { localStorage.setItem("seetell-theme", theme); } catch { /* storage is off */ } };
  const remembered = () => { try { return localStorage.getItem("seetell-theme"); } catch { return null; } };
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const toggle = document.getElementById("theme");
  const label = () => { toggle.textContent = dark() ? "Light" : "Dark"; toggle.title = `Switch to ${toggle.textContent.toLowerCase()} colours`; };
  if (["dark", "light"].includes(remembered())) root.dataset.theme = remembered();
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();

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
    const heads = [...table.tHead.rows[0].cells];
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
