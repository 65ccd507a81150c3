// "All event types" replaces every other choice of event types, on the page as on the server.
(() => {
  const all = document.querySelector("[data-all-types]");
  const others = [...document.querySelectorAll("[data-type]")];
  const update = () => {
    for (const each of others) {
      each.disabled = all.checked;
      if (all.checked) each.checked = false;
    }
  };
  all.addEventListener("change", update);
  update();
})();
