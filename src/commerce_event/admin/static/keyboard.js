// Without a mouse: from the search to its results, from row to row, and a list of the keys.
(() => {
  const rows = () => [...document.querySelectorAll("main tbody tr, main .attention > li")]
    .map((row) => row.querySelector("a[href]")).filter((link) => link?.offsetParent);
  const move = (step) => {
    const links = rows();
    const row = document.activeElement.closest("tr, li");
    const at = links.findIndex((link) => row?.contains(link));
    const next = links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    return next !== undefined;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const search = event.target.closest?.("[data-search]");
    if (search) {
      // What is asked for is on the page already: on to it.
      const shown = event.key === "ArrowDown" || (event.key === "Enter" && search.value && search.value === search.defaultValue);
      if (shown && move(0)) event.preventDefault();
      else if (event.key === "Escape") search.blur();
      return;
    }
    if (event.target.closest?.("input, textarea, select, [role=tab], .plot, dialog")) return;
    const inRow = event.target.closest?.("main tbody tr, main .attention > li");
    const step = { j: 1, k: -1, ...(inRow && { ArrowDown: 1, ArrowUp: -1 }) }[event.key];
    if (step) {
      if (move(step)) event.preventDefault();
    } else if (event.key === "?") {
      event.preventDefault();
      document.getElementById("keys-help")?.showModal();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-shows-keys]")) document.getElementById("keys-help").showModal();
    if (event.target.matches("dialog")) event.target.close();
  });
  document.addEventListener("change", (event) => {
    const button = event.target.closest("[data-expands]");
    if (button) button.setAttribute("aria-expanded", String(event.target.checked));
  });
})();
