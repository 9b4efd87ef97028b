// Set the theme before the page is drawn: the stored one, else the system's.
(() => {
  "use strict";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: light)");
  const stored = () => {
    try {
      const theme = window.localStorage.getItem("theme");
      return theme === "light" || theme === "dark" ? theme : null;
    } catch {
      return null;
    }
  };
  const apply = () => {
    root.dataset.theme = stored() ?? (system.matches ? "light" : "dark");
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
