// Remembers the chosen language of handlers for the next page.
(() => {
  for (const group of document.querySelectorAll("[data-remember-choice]")) {
    const key = group.dataset.rememberChoice;
    const choices = [...group.querySelectorAll("input[type='radio']")];
    const kept = (() => { try { return localStorage.getItem(`choice-${key}`); } catch { return null; } })();
    const found = choices.find((each) => each.id === kept);
    if (found) found.checked = true;
    group.addEventListener("change", (event) => {
      try { localStorage.setItem(`choice-${key}`, event.target.id); } catch { /* no storage: for this page only */ }
    });
  }
})();
