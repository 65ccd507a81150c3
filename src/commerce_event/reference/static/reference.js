// The table of contents: filter, collapse on a phone, and mark the current entry.
document.addEventListener("DOMContentLoaded", () => {
  const contents = document.getElementById("contents");
  const filter = document.getElementById("contents-filter");
  const items = [...contents.querySelectorAll("li")];
  const groups = [...contents.querySelectorAll("[data-group]")];
  const wasOpen = new Map();

  const applyFilter = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !wasOpen.size) for (const group of groups) wasOpen.set(group, group.open);
    for (const item of items) {
      const text = `${item.textContent} ${item.dataset.keywords ?? ""}`.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of groups) {
      group.hidden = !group.querySelector("li:not([hidden])");
      if (words.length) group.open = true;
      else if (wasOpen.size) group.open = wasOpen.get(group);
    }
    if (!words.length) wasOpen.clear();
    for (const title of contents.querySelectorAll(".overline")) title.hidden = words.length > 0;
    contents.querySelector(".no-match").hidden = items.some((item) => !item.hidden);
  };
  filter.addEventListener("input", applyFilter);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") contents.querySelector("li:not([hidden]) a")?.click();
    if (event.key === "Escape" && filter.value) {
      filter.value = "";
      applyFilter();
      event.preventDefault();
    }
  });

  const toggle = contents.querySelector(".contents-toggle");
  const setOpen = (open) => {
    contents.toggleAttribute("data-open", open);
    toggle.setAttribute("aria-expanded", String(open));
  };
  toggle.addEventListener("click", () => setOpen(!contents.hasAttribute("data-open")));
  contents.addEventListener("click", (event) => { if (event.target.closest("li a")) setOpen(false); });
  contents.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !contents.hasAttribute("data-open")) return;
    setOpen(false);
    toggle.focus();
  });

  // Show this server's address as the browser reached it.
  for (const code of document.querySelectorAll("#servers td code")) {
    if (code.textContent === "/") code.textContent = location.origin;
  }
  for (const place of document.querySelectorAll("#code-shell, #code-publish")) {
    const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replace("http://127.0.0.1:8080", location.origin);
  }

  const title = document.title;
  const links = new Map(items.map((item) => [item.firstElementChild.hash.slice(1), item.firstElementChild]));
  const setCurrent = (link) => {
    if (link.hasAttribute("aria-current")) return;
    contents.querySelector("[aria-current]")?.removeAttribute("aria-current");
    link.setAttribute("aria-current", "location");
    const name = [...link.childNodes].filter((part) => !part.matches?.(".method")).map((part) => part.textContent).join("");
    document.title = `${name} · ${title}`;
    if (!filter.value) link.closest("details").open = true;
    const [box, inside] = [contents.getBoundingClientRect(), link.getBoundingClientRect()];
    if (inside.top < box.top + 60 || inside.bottom > box.bottom - 20) {
      contents.scrollTop += inside.top - box.top - box.height / 3;
    }
  };
  const targets = new Map([...links.keys()].map((id) => [id, document.getElementById(id)]));
  const visible = new Set(); // targets in the band below the top
  const updateCurrent = () => {
    const linked = targets.get(location.hash.slice(1));
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2; // the last targets never reach the band
    const first = [...targets.values()].find((target) => visible.has(target));
    const here = linked && (visible.has(linked) || atEnd) ? linked : first;
    if (here) setCurrent(links.get(here.id));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target);
    updateCurrent();
  }, { rootMargin: "-5% 0px -85% 0px" });
  for (const target of targets.values()) watcher.observe(target);
  addEventListener("hashchange", updateCurrent);
});
