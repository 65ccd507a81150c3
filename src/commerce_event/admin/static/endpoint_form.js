// "Everything" takes the place of every other choice of event types, for the eye as for the server.
(() => {
  const all = document.querySelector("[data-all]");
  const others = [...document.querySelectorAll("[data-one]")];
  const follow = () => {
    for (const each of others) {
      each.disabled = all.checked;
      if (all.checked) each.checked = false;
    }
  };
  all.addEventListener("change", follow);
  follow();
})();
