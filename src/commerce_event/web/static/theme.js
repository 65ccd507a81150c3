// Applies the chosen theme before the page is painted. Without a choice the style sheet follows the system.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* no storage: for this page only */ }
  const root = document.documentElement;
  root.dataset.scripts = "";
  const apply = () => {
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-choose-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.chooseTheme === (root.dataset.theme ?? "system")));
    }
  };
  apply();
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-choose-theme]");
    if (!button) return;
    chosen = button.dataset.chooseTheme;
    try { localStorage.setItem("theme", chosen); } catch { /* as above */ }
    apply();
  });
})();
