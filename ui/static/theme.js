// Before anything is drawn: the theme that was chosen here, else the one of the system.
(() => {
  "use strict";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: light)");
  const chosen = () => {
    try {
      const kept = window.localStorage.getItem("theme");
      return kept === "light" || kept === "dark" ? kept : null;
    } catch {
      return null;
    }
  };
  const apply = () => {
    root.dataset.theme = chosen() ?? (system.matches ? "light" : "dark");
    document.dispatchEvent(new Event("themechange"));
  };
  root.classList.add("scripted");
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    try {
      window.localStorage.setItem("theme", root.dataset.theme === "light" ? "dark" : "light");
    } catch {
      return;
    }
    apply();
  });
})();
