// Pages that renew themselves. The page is fetched again and changed in place, so that focus, selection, open parts,
// ticks and scroll positions stay; a part that is in use is left as it is. A strip tells when the server is away.
//
// <main data-live="5"> is renewed every five seconds; without it the page stands still, and only the server is watched.
// A form that has fields to fill in is never changed.
(() => {
  const WATCH_S = 10;
  const main = document.getElementById("main");
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
  const canHover = matchMedia("(hover: hover)"); // on a touch screen the last tapped element counts as hovered
  const control = document.getElementById("freshness");
  const showNew = document.getElementById("show-new");
  const strip = document.getElementById("server-strip");
  let paused = false;
  let etag = "";
  let timer = 0;
  let running = false;
  let leaving = false;

  // -- The server is away, or cannot answer.
  let awaySince = null;
  const setAway = (text) => {
    if (!text) awaySince = null;
    else awaySince ??= clock.format(new Date());
    const shown = text && `${text} since ${awaySince}. What this page shows is from before; it is tried again by itself.`;
    if (strip.textContent !== shown) strip.textContent = shown;
    strip.hidden = !shown;
    updateControl();
  };

  // -- The indicator, its button for a pause, and the button for what is held back.
  const updateControl = () => {
    if (!control || !main.dataset.live) return;
    const indicator = control.querySelector(".live");
    const text = paused ? "Paused" : awaySince ? "Not updated" : "Live";
    control.querySelector("[data-stands-still]").hidden = true;
    indicator.hidden = false;
    indicator.classList.toggle("paused", paused);
    indicator.classList.toggle("disconnected", !paused && awaySince !== null);
    if (indicator.textContent !== text) indicator.textContent = text;
    const button = control.querySelector("[data-pause]");
    button.hidden = false;
    button.textContent = paused ? "Resume" : "Pause";
  };
  const offer = (held) => {
    const count = held.reduce((sum, each) => sum + each, 0);
    showNew.hidden = !held.length;
    if (held.length) showNew.textContent = count ? `${count} new` : "Show changes";
  };

  // -- Change one tree into another, keeping the elements that are in both.
  const keyOf = (node) => node.nodeType !== Node.ELEMENT_NODE ? ""
    : node.id || node.dataset.row || (node.matches("tr, li") && node.querySelector("a[href]")?.getAttribute("href")) || "";
  const isList = (element) => element.matches("tbody, .item-list");
  const inUse = (list) => (canHover.matches && list.matches(":hover")) || list.contains(document.activeElement);
  const keysOf = (list) => [...list.children].map(keyOf);
  const BY_READER = new Set(["open", "aria-expanded", "aria-selected"]);
  const isLeft = (element) => element.querySelector(":scope > .tooltip") !== null
    || (element.matches("form") && element.querySelector("input:not([type=hidden]), select, textarea") !== null);

  const update = (from, to, held) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== Node.ELEMENT_NODE) {
      from.data = to.data;
      return;
    }
    if (isLeft(from)) return;
    if (held && isList(from) && inUse(from)) {
      const [before, after] = [keysOf(from), keysOf(to)];
      if (before.join("\n") !== after.join("\n")) {
        held.push(after.filter((key) => key && !before.includes(key)).length);
        return;
      }
    }
    const isTab = from.matches("[role=tab], [role=tabpanel]");
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !BY_READER.has(name) && !(isTab && name === "hidden")) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      const isKept = BY_READER.has(name) || (isTab && (name === "hidden" || name === "tabindex"));
      if (!isKept && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    updateChildren(from, to, held);
  };
  const updateChildren = (from, to, held) => {
    const wanted = new Set([...to.children].map(keyOf));
    const known = new Map([...from.children].map((each) => [keyOf(each), each]));
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const key = keyOf(next);
      while (at && keyOf(at) && !wanted.has(keyOf(at))) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
      const same = key ? known.get(key) : at && !keyOf(at) && at.nodeName === next.nodeName ? at : null;
      known.delete(key);
      if (same?.nodeName === next.nodeName) {
        if (same === at) at = at.nextSibling;
        else from.insertBefore(same, at);
        update(same, next, held);
      } else {
        from.insertBefore(document.importNode(next, true), at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  const show = (text, force) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.getElementById("main");
    if (!next) return;
    document.dispatchEvent(new CustomEvent("page:parsed", { detail: page }));
    const held = [];
    for (const id of ["screens", "main"]) {
      const [from, to] = [document.getElementById(id), page.getElementById(id)];
      if (from && to) update(from, to, force ? null : held);
    }
    document.title = page.title;
    if (held.length) etag = ""; // what was held back is compared again
    offer(held);
    window.htmx?.process(main);
    document.dispatchEvent(new CustomEvent("page:updated"));
  };

  const isSelecting = () => {
    const selection = getSelection();
    return !selection.isCollapsed && main.contains(selection.anchorNode);
  };
  const request = async (address, headers) => {
    try {
      return await fetch(address, { headers, signal: AbortSignal.timeout(WATCH_S * 1000), cache: "no-store" });
    } catch {
      return null;
    }
  };
  addEventListener("pagehide", () => { leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });
  const renew = async (force) => {
    const headers = { "HX-Request": "true", "HX-Current-URL": location.href, ...(etag && !force && { "If-None-Match": etag }) };
    const response = await request(location.pathname + location.search, headers);
    if (leaving) return;
    const signIn = response?.headers.get("HX-Redirect");
    if (signIn) {
      location.assign(signIn);
      return;
    }
    const text = response?.status === 200 ? await response.text().catch(() => "") : "";
    if (!response) setAway("The server cannot be reached");
    else if (response.status >= 500) setAway(`The server cannot answer (${response.status})`);
    else setAway("");
    if (!text || (!force && (paused || isSelecting()))) return;
    etag = response.headers.get("ETag") ?? "";
    show(text, force);
  };
  const watch = async () => {
    const response = await request("/healthz", {});
    if (!leaving) setAway(response ? "" : "The server cannot be reached");
  };
  const tick = async (force = false) => {
    if (running && !force) return;
    running = true;
    clearTimeout(timer);
    const seconds = Number(main.dataset.live) || 0;
    if (!document.hidden || force) {
      if (force || (seconds && !paused)) {
        if (force || !isSelecting()) await renew(force);
        else document.dispatchEvent(new CustomEvent("page:waiting"));
      } else await watch();
    }
    running = false;
    schedule();
  };
  const schedule = () => {
    const seconds = Number(main.dataset.live) || 0;
    clearTimeout(timer);
    timer = setTimeout(tick, 1000 * (seconds && !paused ? seconds : WATCH_S));
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-pause]")) {
      paused = !paused;
      updateControl();
      if (!paused) tick();
    } else if (event.target.closest("#show-new")) {
      event.preventDefault();
      tick(true);
    } else if (event.target.closest("[data-close-flash]")) {
      event.target.closest(".flash").remove();
      main.focus({ preventScroll: true });
    }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  document.addEventListener("DOMContentLoaded", () => {
    updateControl();
    schedule();
  });
})();
