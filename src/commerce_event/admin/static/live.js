// Live updates: paused while the reader uses the part, and marked when the server cannot be reached.
(() => {
  let paused = false;
  let errorText = "";
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const livePart = () => document.querySelector("[hx-trigger^='every']");

  const canHover = matchMedia("(hover: hover)"); // on a touch screen the last tapped element counts as hovered
  const inUse = (element) => {
    const selection = getSelection();
    return document.hidden
      || (canHover.matches && element.querySelector(".chart:hover") !== null)
      || element.querySelector(".chart:focus-visible, input:focus, select:focus, textarea:focus") !== null
      || (!selection.isCollapsed && element.contains(selection.anchorNode));
  };

  // -- The indicator and its pause button.
  const updateIndicator = () => {
    for (const indicator of document.querySelectorAll(".live")) {
      indicator.dataset.text ??= indicator.textContent;
      indicator.classList.toggle("paused", paused);
      indicator.classList.toggle("disconnected", !paused && errorText !== "");
      const text = paused ? "Paused" : errorText || indicator.dataset.text;
      if (indicator.textContent !== text) indicator.textContent = text;
      let button = indicator.nextElementSibling;
      if (!button?.matches("[data-pause]")) {
        button = document.createElement("button");
        button.type = "button";
        button.id = "pause";
        button.className = "button small quiet";
        button.dataset.pause = "";
        indicator.after(" ", button);
      }
      button.textContent = paused ? "Resume" : "Pause";
      button.hidden = livePart() === null;
    }
  };
  const setError = (text) => {
    if (errorText === text) return;
    errorText = text;
    updateIndicator();
    document.getElementById("announcer").textContent = text;
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-pause]")) return;
    paused = !paused;
    updateIndicator();
  });

  // -- Focus, open details and scroll positions survive an update.
  const selectorOf = (element) => element.id ? `#${CSS.escape(element.id)}`
    : element.hasAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : "";
  const indexOf = (element, root, selector) => [...root.querySelectorAll(selector)].indexOf(element);
  let saved = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const root = event.detail.target;
    if (!event.detail.shouldSwap) return;
    if (paused || inUse(root)) {
      event.detail.shouldSwap = false;
      return;
    }
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const selector = focused ? selectorOf(focused) : "";
    saved = {
      root: root.id,
      focus: selector && { selector, number: indexOf(focused, root, selector) },
      open: [...root.querySelectorAll("details")].map((each) => each.open),
      scrolled: [...root.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
    };
  });
  document.addEventListener("htmx:afterSwap", () => {
    updateIndicator(); // restores the button, which may have had the focus
    const root = saved && document.getElementById(saved.root);
    if (root) {
      root.querySelectorAll("details").forEach((each, number) => { each.open = saved.open[number] ?? each.open; });
      root.querySelectorAll(".scroll").forEach((each, number) => { each.scrollLeft = saved.scrolled[number] ?? 0; });
      if (saved.focus) root.querySelectorAll(saved.focus.selector)[saved.focus.number]?.focus({ preventScroll: true });
    }
    saved = null;
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (paused || inUse(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) setError("");
    else if (!errorText) setError(`Not updated since ${clock.format(new Date())}: the server cannot be reached. Retrying.`);
  });
  document.addEventListener("DOMContentLoaded", updateIndicator);
})();
