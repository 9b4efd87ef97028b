// What a candle chart shows: a menu of its lines and parts, and the scale. The browser remembers the choice.
const chartChoices = (() => {
  "use strict";
  const { remembered } = palette;
  const PARTS = ["Volume", "Funding", "Trades", "Orders"];
  const BUILT_IN = ["VWAP", "EMA 20", "EMA 50", "Bollinger", "RSI", "MACD", "ATR"];
  const SHOWN_FIRST = ["VWAP", "RSI"];

  /** The menu's name of a line: `Bollinger` for its three. */
  const groupOf = (name) => BUILT_IN.find((one) => name === one || name.startsWith(`${one} `)) ?? name;

  function element(tag, className, text = "") {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.textContent = text;
    return made;
  }

  /** Fill the bar with the menu and the scale; `changed` is called after every change. */
  function on(bar, strategy, changed) {
    // A strategy's readings replace the indicators that are shown first.
    const shown = remembered(`chart-lines ${strategy}`, strategy ? [] : SHOWN_FIRST);
    const hidden = remembered("chart-hidden", []);
    const logarithmic = remembered("chart-logarithmic", false);
    const isShown = (name) => (BUILT_IN.includes(name) ? shown.get().includes(name) : !hidden.get().includes(name));

    function toggle(name) {
      const [kept, names] = BUILT_IN.includes(name) ? [shown, shown.get()] : [hidden, hidden.get()];
      kept.set(names.includes(name) ? names.filter((one) => one !== name) : [...names, name]);
      changed();
    }

    const menu = element("details", "menu");
    const panel = element("div", "menu-panel");
    menu.append(element("summary", "button small", "Indicators"), panel);
    const scale = element("button", "button small", "Log scale");
    scale.type = "button";
    scale.setAttribute("aria-pressed", String(logarithmic.get()));
    scale.addEventListener("click", () => {
      logarithmic.set(!logarithmic.get());
      scale.setAttribute("aria-pressed", String(logarithmic.get()));
      changed();
    });
    bar.replaceChildren(menu, scale);

    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.firstElementChild.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });

    function choice(name) {
      const label = element("label", "");
      const box = element("input", "");
      box.type = "checkbox";
      box.checked = isShown(name);
      box.addEventListener("change", () => toggle(name));
      label.append(box, name);
      return label;
    }

    function group(title, names) {
      const found = element("fieldset", "");
      found.append(element("legend", "", title), ...names.map(choice));
      return found;
    }

    let listed = null;
    return {
      isShown: (name) => isShown(groupOf(name)),
      isLogarithmic: () => logarithmic.get(),
      /** Offer the strategy's readings besides what every chart has. */
      offer(readings) {
        if (listed === readings.join()) return;
        listed = readings.join();
        panel.replaceChildren(group("Indicators", BUILT_IN), ...(readings.length ? [group(strategy, readings)] : []), group("On the chart", PARTS));
      },
    };
  }

  return { on };
})();
