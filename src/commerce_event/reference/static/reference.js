// Full text search: events, calls, properties, problems, schemas and headings, found in the page itself.
const readEntries = () => {
  const text = (element, selector) => element.querySelector(selector)?.textContent.trim() ?? "";
  const name = (heading) => heading.textContent.replace(/¶$/, "").trim();
  const entries = [];
  for (const heading of document.querySelectorAll("main :is(h2, .prose h3)")) {
    const id = heading.id || heading.closest("section[id]")?.id;
    let said = heading.matches("h2") ? text(heading.parentElement, ".prose > p, .lead") : "";
    for (let each = heading.nextElementSibling; heading.matches("h3") && each && !each.matches("h3"); each = each.nextElementSibling) {
      said += ` ${each.textContent}`;
    }
    if (id) entries.push({ id, kind: "Heading", name: name(heading), text: said });
  }
  for (const entry of document.querySelectorAll("article.entry")) {
    const place = name(entry.querySelector("h3"));
    const path = text(entry, ".path");
    const isSchema = entry.id.startsWith("schema-");
    const said = [...entry.querySelectorAll(".text > p")].map((each) => each.textContent).join(" ");
    const kind = isSchema ? "Schema" : path ? text(entry, ".method") : "Webhook";
    entries.push({ id: entry.id, kind, name: place, text: `${entry.id} ${path} ${said}` });
    if (entry.matches(".of-event")) continue; // its properties are those of the webhook
    for (const property of entry.querySelectorAll(".properties > li")) {
      const about = [...property.querySelectorAll(":scope > .about > :not(details)")].map((each) => each.textContent).join(" ");
      const inside = property.parentElement.closest(".properties > li");
      const within = inside ? ` › ${text(inside, ".name")}` : "";
      entries.push({ id: property.id, kind: "Property", name: text(property, ".name"), type: text(property, ".kind"), place: place + within, text: about });
    }
  }
  for (const problem of document.querySelectorAll("#problems .meanings > div")) {
    entries.push({ id: problem.id, kind: `Problem ${text(problem, ".status")}`, name: text(problem, "b"), text: problem.textContent });
  }
  for (const entry of entries) {
    entry.lowerName = entry.name.toLowerCase();
    entry.lowerText = `${entry.name} ${entry.place ?? ""} ${entry.text}`.toLowerCase();
  }
  return entries;
};
const rank = (entry, query, words) => {
  if (entry.lowerName === query) return 0;
  if (entry.lowerName.startsWith(query)) return 1;
  if (words.every((word) => entry.lowerName.includes(word))) return 2;
  return words.every((word) => entry.lowerText.includes(word)) ? 3 : null;
};
const FOUND_MAX = 80;

const startSearch = (contents) => {
  const search = document.getElementById("contents-filter");
  const found = document.getElementById("found");
  const [count, list] = found.children;
  let entries = null;

  const element = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
  const link = (entry, label) => {
    const made = Object.assign(element("a", "", label), { href: `#${encodeURIComponent(entry.id)}` });
    if (entry.place) made.setAttribute("aria-label", `${entry.name} in ${entry.place}`);
    return made;
  };
  const show = (matches) => {
    const properties = new Map(); // the list of places, by name and type
    list.replaceChildren();
    for (const entry of matches.slice(0, FOUND_MAX)) {
      if (!entry.place) {
        const item = element("li", "", "");
        const made = link(entry, entry.name);
        made.append(" ", element("small", "", entry.kind));
        item.append(made);
        list.append(item);
        continue;
      }
      const key = `${entry.name} ${entry.type}`;
      if (!properties.has(key)) {
        const item = element("li", "property", "");
        const title = element("p", "", "");
        title.append(element("code", "", entry.name), " ", element("small", "", entry.type));
        item.append(title, document.createElement("ul"));
        list.append(item);
        properties.set(key, item.lastChild);
      }
      const place = document.createElement("li");
      place.append(link(entry, entry.place));
      properties.get(key).append(place);
    }
    const more = matches.length > FOUND_MAX ? `; the first ${FOUND_MAX} are shown` : "";
    count.textContent = matches.length ? `${matches.length.toLocaleString("en")} found${more}` : "Nothing is found.";
    document.getElementById("announcer").textContent = count.textContent;
  };
  const update = () => {
    const query = search.value.trim().toLowerCase();
    found.hidden = !query;
    contents.toggleAttribute("data-searching", Boolean(query));
    if (!query) return;
    entries ??= readEntries();
    const words = query.split(/\s+/);
    const ranked = entries.map((entry) => [rank(entry, query, words), entry]).filter(([place]) => place !== null);
    show(ranked.sort(([a], [b]) => a - b).map(([, entry]) => entry));
  };
  const move = (step) => {
    const links = [search, ...list.querySelectorAll("a")];
    links[links.indexOf(document.activeElement) + step]?.focus();
  };
  search.addEventListener("input", update);
  contents.addEventListener("keydown", (event) => {
    if (found.hidden || !(event.target === search || found.contains(event.target))) return;
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter" && event.target === search) list.querySelector("a")?.click();
    else if (event.key === "Escape") {
      search.value = "";
      update();
      search.focus();
    } else return;
    event.stopPropagation();
    event.preventDefault();
  });
  return search;
};

// The table of contents: search, collapse on a phone, and mark the current entry.
document.addEventListener("DOMContentLoaded", () => {
  const contents = document.getElementById("contents");
  const items = [...contents.querySelectorAll("li")];
  const search = startSearch(contents);

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
    if (!search.value) link.closest("details").open = true;
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
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = target?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    if (target?.closest("details")) target.scrollIntoView();
  };
  addEventListener("hashchange", () => { reveal(); updateCurrent(); });
  reveal();
});
