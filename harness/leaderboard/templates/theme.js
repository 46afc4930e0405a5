"use strict";
// Colours. The page reads well without this.
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
    document.dispatchEvent(new Event("seetell-theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); document.dispatchEvent(new Event("seetell-theme")); });
  label();
})();
