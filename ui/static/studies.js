// The script of the pages of studies: copies commands, reads out the cells of a heat map. The pages are readable without it.
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

  // ---------------------------------------------------------------- heat maps

  const readout = document.getElementById("readout");
  const cells = (table) => [...table.querySelectorAll("button")];
  const cellOf = (event) => event.target.closest?.(".heat button");

  /** Say what a cell is: the values of its parameters, its value and its rank. */
  function say(button) {
    const cell = button.parentElement;
    const table = button.closest("table");
    const parts = [[readout.dataset.across, table.tFoot.rows[0].cells[cell.cellIndex].textContent]];
    if (readout.dataset.up) parts.push([readout.dataset.up, cell.parentElement.cells[0].textContent]);
    for (const held of table.caption.querySelectorAll(".parameter")) {
      parts.push([held.querySelector(".sub").textContent, held.querySelector("b").textContent]);
    }
    readout.replaceChildren();
    const value = document.createElement("b");
    value.textContent = `${button.title} of ${readout.dataset.sets}`;
    readout.append(value, ` · ${parts.map(([name, text]) => `${name} ${text.trim()}`).join(" · ")} · set ${button.value}`);
  }

  /** Make one cell of a map reachable by Tab; the arrow keys move from there. */
  function rove(table, button) {
    cells(table).forEach((one) => { one.tabIndex = one === button ? 0 : -1; });
  }

  function next(button, key) {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key] ?? [0, 0];
    if (!down && !right) return null;
    let row = button.closest("tr").rowIndex;
    let column = button.parentElement.cellIndex;
    const rows = button.closest("table").tBodies[0].rows;
    for (;;) {
      row += down;
      column += right;
      const cell = rows[row]?.cells[column];
      if (!cell || column < 1) return null;
      const found = cell.querySelector("button");
      if (found) return found;
    }
  }

  if (readout) {
    document.querySelectorAll("table.heat").forEach((table) => {
      const first = table.querySelector("button.picked") ?? table.querySelector("button.own") ?? table.querySelector("button");
      if (first) rove(table, first);
    });
    document.addEventListener("pointerover", (event) => { if (cellOf(event)) say(cellOf(event)); });
    document.addEventListener("focusin", (event) => { if (cellOf(event)) say(cellOf(event)); });
    document.addEventListener("keydown", (event) => {
      const button = cellOf(event);
      const other = button && next(button, event.key);
      if (!other) return;
      event.preventDefault();
      rove(button.closest("table"), other);
      other.focus();
    });
  }
})();
