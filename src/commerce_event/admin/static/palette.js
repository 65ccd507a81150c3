// The search field offers screens, actions and what the text may be. It is a combobox: the arrows choose, Enter opens
// the choice, Escape closes. Without a choice, Enter searches the events, as the form does without scripts.
(() => {
  const DELAY_MS = 180;
  const field = document.querySelector("[data-search]");
  const list = document.getElementById("palette");
  const announcer = document.getElementById("announcer");
  let shownFor = null; // the text whose lines are in the list
  let request = null;
  let timer = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const chosen = () => list.querySelector("[aria-selected=true]");
  const isOpen = () => !list.hidden;
  const choose = (option) => {
    chosen()?.setAttribute("aria-selected", "false");
    if (!option) {
      field.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  };
  const close = () => {
    clearTimeout(timer);
    request?.abort();
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    choose(null);
  };
  const open = () => {
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
  };
  const isCurrent = () => field.value.trim() === shownFor;
  const load = async () => {
    const text = field.value.trim();
    clearTimeout(timer);
    request?.abort();
    if (text === shownFor) {
      open();
      return;
    }
    request = new AbortController();
    try {
      const response = await fetch(`/admin/palette?q=${encodeURIComponent(text)}`,
        { headers: { "HX-Request": "true", "HX-Current-URL": location.href }, signal: request.signal });
      if (response.headers.has("HX-Redirect")) location.assign(response.headers.get("HX-Redirect"));
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      list.replaceChildren(...page.body.childNodes);
      shownFor = text;
      open();
      choose(null);
      const count = options().length;
      announcer.textContent = count ? `${count} suggestion${count > 1 ? "s" : ""}` : "No suggestions";
    } catch { /* aborted, or the server is away: the form still works */ }
  };
  const loadSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(load, DELAY_MS);
  };
  const start = () => {
    field.focus();
    field.select();
    load();
  };

  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-autocomplete", "list");
  field.addEventListener("input", loadSoon);
  field.addEventListener("click", () => { if (!isOpen()) load(); });
  field.addEventListener("keydown", async (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const all = options();
    const at = all.indexOf(chosen());
    if (event.key === "Escape") {
      event.preventDefault(); // it would also empty the field
      if (isOpen()) close();
      else field.blur();
    } else if (event.key === "Enter" && isOpen() && isCurrent() && at >= 0) {
      event.preventDefault();
      all[at].click();
    } else if (event.key === "ArrowDown" && (!isOpen() || !isCurrent())) {
      event.preventDefault();
      await load();
      choose(options()[0]);
    } else if (isOpen() && all.length) {
      const to = { ArrowDown: (at + 1) % all.length, ArrowUp: at <= 0 ? all.length - 1 : at - 1,
        ...(at >= 0 && { Home: 0, End: all.length - 1 }) }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(all[to]);
    }
  });
  field.form.addEventListener("focusout", (event) => {
    if (!field.form.contains(event.relatedTarget)) close();
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
  document.addEventListener("pointerdown", (event) => { if (!field.form.contains(event.target)) close(); });
  document.addEventListener("keydown", (event) => {
    const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k";
    const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey
      && !event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, dialog");
    if (!isCommand && !isSlash) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    start();
  });
})();
