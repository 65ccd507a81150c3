// Keyboard: from row to row, ticks, the actions of a page, and the list of keys.
//
// <button data-key="r">Send again</button> is pressed by r; in the current row if that has one, else in the page.
(() => {
  const ROWS = "main tbody tr, main .item-list > li";
  const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [role=tab], .chart, dialog";
  const isShown = (element) => element.offsetParent !== null || element.getClientRects().length > 0;
  const linkOf = (row) => [...row.querySelectorAll("a[href]")].find((link) => link.closest(ROWS) === row);
  const rows = () => [...document.querySelectorAll(ROWS)].filter((row) => isShown(row) && linkOf(row));
  const rowOf = (element) => {
    let row = element?.closest?.(ROWS);
    while (row && !linkOf(row)) row = row.parentElement.closest(ROWS);
    return row;
  };
  const move = (step) => {
    const all = rows();
    const at = all.indexOf(rowOf(document.activeElement));
    const next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + step))];
    if (!next) return false;
    linkOf(next).focus();
    linkOf(next).scrollIntoView({ block: "nearest" });
    return true;
  };
  const actions = (root) => [...root.querySelectorAll("[data-key]:not([data-key=''])")].filter(isShown);
  const actionOf = (key) => {
    const row = rowOf(document.activeElement);
    const matches = (each) => each.dataset.key === key;
    return (row && actions(row).find(matches)) || actions(document).find(matches);
  };
  const nameOf = (element) => element.getAttribute("aria-label") || element.textContent.trim().replace(/\s+/g, " ");

  const help = document.getElementById("keyboard-help");
  const showHelp = () => {
    const list = help.querySelector("[data-page-keys]");
    const named = new Map(actions(document).map((each) => [each.dataset.key, nameOf(each)]));
    list.replaceChildren(...[...named].flatMap(([key, name]) => {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      text.textContent = name;
      return [term, text];
    }));
    help.querySelector("[data-page-keys-title]").hidden = list.hidden = named.size === 0;
    help.showModal();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const search = event.target.closest?.("[data-search]");
    if (search) {
      // The results are on the page already: focus the first.
      if (event.key === "Enter" && search.value && search.value === search.defaultValue && move(0)) event.preventDefault();
      return;
    }
    if (event.target.closest?.(TYPING)) return;
    const inRow = rowOf(event.target);
    const step = { j: 1, k: -1, ...(inRow && { ArrowDown: 1, ArrowUp: -1 }) }[event.key];
    const tick = event.key === "x" && inRow?.querySelector("[data-select]");
    const action = event.key.length === 1 && !event.repeat && !step && !tick && actionOf(event.key);
    if (step ? move(step) : tick || action || event.key === "?") event.preventDefault();
    if (tick) tick.click();
    else if (action) action.click();
    else if (event.key === "?") showHelp();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-opens-keyboard-help]")) showHelp();
    if (event.target.matches("dialog")) event.target.close();
    if (event.target.closest("[data-skip-to-actions]")) {
      event.preventDefault();
      const main = document.getElementById("main");
      (actions(main)[0] ?? main.querySelector("form[method=post] button, .head a.button") ?? main).focus();
    }
  });
  document.addEventListener("change", (event) => {
    const button = event.target.closest("[data-expands]");
    if (button) button.setAttribute("aria-expanded", String(event.target.checked));
  });
})();
