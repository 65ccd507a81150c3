// Shared by all pages: times in the viewer's time zone, copy buttons, tabs, confirmation before destructive actions.
(() => {
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const old = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
  const named = new Intl.DateTimeFormat(undefined, { hour: "2-digit", timeZoneName: "short" });
  const zoneOf = (moment) => named.formatToParts(moment).find((part) => part.type === "timeZoneName")?.value ?? "";

  // Date, time and zone. The date of today and the zone are shown on phones and paper, and by a click elsewhere.
  const timeParts = (moment) => {
    const now = new Date();
    const part = (name, text) => Object.assign(document.createElement("span"), { className: name, textContent: text });
    const isToday = moment.toDateString() === now.toDateString();
    const date = `${(moment.getFullYear() === now.getFullYear() ? day : old).format(moment)}, `;
    return [isToday ? part("today", date) : date, clock.format(moment), part("zone", ` ${zoneOf(moment)}`)];
  };
  const labelFormats = {
    clock: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    day: new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" }),
  };
  // Labels of a chart are at times that are round in UTC; move them to times that are round in the viewer's time zone.
  const localLabels = (chart) => {
    const labels = [...chart.querySelectorAll("text[data-time]:not([data-local])")];
    const { left, right, every, msPerUnit } = chart.dataset;
    for (const label of labels) {
      label.dataset.local = "";
      const moment = new Date(label.dataset.time);
      const offset = ((-moment.getTimezoneOffset() * 60_000) % every + Number(every)) % every;
      let at = moment.getTime() - offset;
      let x = Number(label.getAttribute("x")) - offset / msPerUnit;
      if (x < left) {
        at += labels.length * every;
        x += labels.length * every / msPerUnit;
      }
      label.setAttribute("x", x);
      label.textContent = x > right - 62 ? "" : labelFormats[label.dataset.format].format(new Date(at));
    }
  };
  const localTimes = (root) => {
    for (const chart of root.querySelectorAll("svg[data-every]")) localLabels(chart);
    for (const element of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(element.dateTime);
      element.dataset.local = "";
      element.title = `${full.format(moment)}\n${element.dateTime}`;
      element.replaceChildren(...timeParts(moment));
    }
  };

  document.addEventListener("click", (event) => {
    const element = event.target.closest("time[data-local]");
    if (element && !event.target.closest("a, button, summary, label")) element.classList.toggle("whole");
  });

  const announce = (text) => {
    const region = document.getElementById("announcer");
    if (region) region.textContent = text;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl+C";
    }
    announce(button.textContent);
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  }, true);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.defaultPrevented || event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("[data-search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });

  const selectTab = (tab) => {
    for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
      const isSelected = other === tab;
      other.setAttribute("aria-selected", String(isSelected));
      other.tabIndex = isSelected ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !isSelected;
    }
  };
  const storeTab = (tab) => {
    const list = tab.closest("[data-remember]");
    try { if (list) localStorage.setItem(list.dataset.remember, tab.id); } catch { /* no storage: for this page only */ }
  };
  const storedTab = (list) => {
    try { return document.getElementById(localStorage.getItem(list.dataset.remember) ?? ""); } catch { return null; }
  };
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (!tab) return;
    selectTab(tab);
    storeTab(tab);
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tab = event.target.closest("[role=tab]");
    if (!step || !tab) return;
    const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    selectTab(next);
    storeTab(next);
    next.focus();
  });

  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    for (const list of document.querySelectorAll("[data-remember]")) {
      const tab = storedTab(list);
      if (tab && list.contains(tab)) selectTab(tab);
    }
  });
  document.addEventListener("htmx:load", (event) => localTimes(event.target.parentNode ?? document));
  document.addEventListener("page:parsed", (event) => localTimes(event.detail));
})();
