// Ticked rows of a list: all of the page at once, and how many there are.
(() => {
  const boxes = () => [...document.querySelectorAll("[data-select]")];
  const update = () => {
    const all = boxes();
    const ticked = all.filter((each) => each.checked).length;
    for (const each of document.querySelectorAll("[data-select-all]")) {
      each.checked = ticked > 0 && ticked === all.length;
      each.indeterminate = ticked > 0 && ticked < all.length;
    }
    for (const each of document.querySelectorAll("[data-selected-count]")) {
      const text = `${ticked} selected`;
      if (each.textContent !== text) each.textContent = text;
    }
  };
  let last = null;
  document.addEventListener("click", (event) => {
    const box = event.target.closest("[data-select]");
    if (!box) return;
    const all = boxes();
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) for (const each of all.slice(from, to + 1)) each.checked = box.checked;
    last = box;
    update();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-select-all]")) for (const each of boxes()) each.checked = event.target.checked;
    if (event.target.matches("[data-select-all], [data-select]")) update();
  });
  document.addEventListener("page:updated", update);
  document.addEventListener("DOMContentLoaded", update);
})();
