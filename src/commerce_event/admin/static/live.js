// Parts that renew themselves: never under the reader's hands, and never saying "Live" when the server is out of reach.
(() => {
  let paused = false;
  let lost = "";
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const part = () => document.querySelector("[hx-trigger^='every']");

  const pointed = matchMedia("(hover: hover)"); // on a touch screen what was tapped last counts as hovered
  const inUse = (element) => {
    const selection = getSelection();
    return document.hidden
      || (pointed.matches && element.querySelector(".plot:hover") !== null)
      || element.querySelector(".plot:focus-visible, input:focus, select:focus, textarea:focus") !== null
      || (!selection.isCollapsed && element.contains(selection.anchorNode));
  };

  // -- the word beside the dot, and the button that stops it
  const dress = () => {
    for (const word of document.querySelectorAll(".live")) {
      word.dataset.word ??= word.textContent;
      word.classList.toggle("paused", paused);
      word.classList.toggle("lost", !paused && lost !== "");
      const text = paused ? "Paused" : lost || word.dataset.word;
      if (word.textContent !== text) word.textContent = text;
      let button = word.nextElementSibling;
      if (!button?.matches("[data-pause]")) {
        button = document.createElement("button");
        button.type = "button";
        button.id = "pause";
        button.className = "button small quiet";
        button.dataset.pause = "";
        word.after(" ", button);
      }
      button.textContent = paused ? "Go on" : "Pause";
      button.hidden = part() === null;
    }
  };
  const heard = (text) => {
    if (lost === text) return;
    lost = text;
    dress();
    document.getElementById("said").textContent = text;
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-pause]")) return;
    paused = !paused;
    dress();
  });

  // -- what is kept over a renewal
  const name = (element) => element.id ? `#${CSS.escape(element.id)}`
    : element.hasAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : "";
  const nth = (element, root, selector) => [...root.querySelectorAll(selector)].indexOf(element);
  let kept = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const root = event.detail.target;
    if (!event.detail.shouldSwap) return;
    if (paused || inUse(root)) {
      event.detail.shouldSwap = false;
      return;
    }
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const selector = focused ? name(focused) : "";
    kept = {
      root: root.id,
      focus: selector && { selector, number: nth(focused, root, selector) },
      open: [...root.querySelectorAll("details")].map((each) => each.open),
      scrolled: [...root.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
    };
  });
  document.addEventListener("htmx:afterSwap", () => {
    dress(); // the button may have had the focus
    const root = kept && document.getElementById(kept.root);
    if (root) {
      root.querySelectorAll("details").forEach((each, number) => { each.open = kept.open[number] ?? each.open; });
      root.querySelectorAll(".scroll").forEach((each, number) => { each.scrollLeft = kept.scrolled[number] ?? 0; });
      if (kept.focus) root.querySelectorAll(kept.focus.selector)[kept.focus.number]?.focus({ preventScroll: true });
    }
    kept = null;
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (paused || inUse(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) heard("");
    else if (!lost) heard(`Not renewed since ${clock.format(new Date())}: the server cannot be reached. Trying again.`);
  });
  document.addEventListener("DOMContentLoaded", dress);
})();
