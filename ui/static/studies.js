// The script of the pages of studies: copies commands. The pages are readable without it.
(() => {
  "use strict";

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy-text]");
    if (!button || !navigator.clipboard) return;
    await navigator.clipboard.writeText(button.dataset.copyText);
    const label = button.querySelector("span");
    const text = label.textContent;
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = text; }, 1500);
  });
})();
