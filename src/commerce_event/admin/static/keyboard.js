// Keyboard shortcuts: from the search to its results, from row to row, and the list of shortcuts.
(() => {
  const rows = () => [...document.querySelectorAll("main tbody tr, main .item-list > li")]
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
      // The results are on the page already: focus the first.
      const hasResults = event.key === "ArrowDown" || (event.key === "Enter" && search.value && search.value === search.defaultValue);
      if (hasResults && move(0)) event.preventDefault();
      else if (event.key === "Escape") search.blur();
      return;
    }
    if (event.target.closest?.("input, textarea, select, [role=tab], .chart, dialog")) return;
    const inRow = event.target.closest?.("main tbody tr, main .item-list > li");
    const step = { j: 1, k: -1, ...(inRow && { ArrowDown: 1, ArrowUp: -1 }) }[event.key];
    if (step) {
      if (move(step)) event.preventDefault();
    } else if (event.key === "?") {
      event.preventDefault();
      document.getElementById("keyboard-help")?.showModal();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-opens-keyboard-help]")) document.getElementById("keyboard-help").showModal();
    if (event.target.matches("dialog")) event.target.close();
  });
  document.addEventListener("change", (event) => {
    const button = event.target.closest("[data-expands]");
    if (button) button.setAttribute("aria-expanded", String(event.target.checked));
  });
})();
