// The contents: narrowed to what is typed, folded on a phone, always showing where one is.
document.addEventListener("DOMContentLoaded", () => {
  const contents = document.getElementById("contents");
  const filter = document.getElementById("narrow");
  const items = [...contents.querySelectorAll("li")];
  const groups = [...contents.querySelectorAll("[data-group]")];
  const wasOpen = new Map();

  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !wasOpen.size) for (const group of groups) wasOpen.set(group, group.open);
    for (const item of items) {
      const text = `${item.textContent} ${item.dataset.words ?? ""}`.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of groups) {
      group.hidden = !group.querySelector("li:not([hidden])");
      if (words.length) group.open = true;
      else if (wasOpen.size) group.open = wasOpen.get(group);
    }
    if (!words.length) wasOpen.clear();
    for (const title of contents.querySelectorAll(".over")) title.hidden = words.length > 0;
    contents.querySelector(".nothing").hidden = items.some((item) => !item.hidden);
  };
  filter.addEventListener("input", narrow);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") contents.querySelector("li:not([hidden]) a")?.click();
    if (event.key === "Escape" && filter.value) {
      filter.value = "";
      narrow();
      event.preventDefault();
    }
  });

  const fold = contents.querySelector(".fold");
  const unfold = (open) => {
    contents.toggleAttribute("data-open", open);
    fold.setAttribute("aria-expanded", String(open));
  };
  fold.addEventListener("click", () => unfold(!contents.hasAttribute("data-open")));
  contents.addEventListener("click", (event) => { if (event.target.closest("li a")) unfold(false); });
  contents.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !contents.hasAttribute("data-open")) return;
    unfold(false);
    fold.focus();
  });

  // Where this server is, as the browser reached it.
  for (const code of document.querySelectorAll("#servers td code")) {
    if (code.textContent === "/") code.textContent = location.origin;
  }
  for (const place of document.querySelectorAll("#code-shell, #code-publish")) {
    const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replace("http://127.0.0.1:8080", location.origin);
  }

  const title = document.title;
  const links = new Map(items.map((item) => [item.firstElementChild.hash.slice(1), item.firstElementChild]));
  const mark = (link) => {
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
  const near = new Set(); // what stands where one reads, a band below the top
  const markWhereOneIs = () => {
    const aimed = targets.get(location.hash.slice(1));
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2; // its last parts never come up
    const first = [...targets.values()].find((target) => near.has(target));
    const here = aimed && (near.has(aimed) || atEnd) ? aimed : first;
    if (here) mark(links.get(here.id));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
    markWhereOneIs();
  }, { rootMargin: "-5% 0px -85% 0px" });
  for (const target of targets.values()) watcher.observe(target);
  addEventListener("hashchange", markWhereOneIs);
});
