// What every page can do: times in the viewer's zone, copy buttons, tabs, questions before what cannot be undone.
(() => {
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
  const old = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

  const written = (moment) => {
    const now = new Date();
    if (moment.toDateString() === now.toDateString()) return clock.format(moment);
    const date = (moment.getFullYear() === now.getFullYear() ? day : old).format(moment);
    return `${date}, ${clock.format(moment)}`;
  };
  const forms = {
    clock: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }),
    day: new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric" }),
  };
  // Labels of a plot stand at times that are round in UTC; they move to where it is round here.
  const localLabels = (plot) => {
    const labels = [...plot.querySelectorAll("text[data-time]:not([data-local])")];
    const { left, right, every, msPerUnit } = plot.dataset;
    for (const label of labels) {
      label.dataset.local = "";
      const moment = new Date(label.dataset.time);
      const late = ((-moment.getTimezoneOffset() * 60_000) % every + Number(every)) % every;
      let at = moment.getTime() - late;
      let x = Number(label.getAttribute("x")) - late / msPerUnit;
      if (x < left) {
        at += labels.length * every;
        x += labels.length * every / msPerUnit;
      }
      label.setAttribute("x", x);
      label.textContent = x > right - 62 ? "" : forms[label.dataset.form].format(new Date(at));
    }
  };
  const localTimes = (root) => {
    for (const plot of root.querySelectorAll("svg[data-every]")) localLabels(plot);
    for (const element of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(element.dateTime);
      element.dataset.local = "";
      element.title = `${full.format(moment)}\n${element.dateTime}`;
      element.textContent = written(moment);
    }
  };

  const tell = (text) => {
    const region = document.getElementById("said");
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
    tell(button.textContent);
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  }, true);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("[data-search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });

  const choose = (tab) => {
    for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  const remember = (tab) => {
    const list = tab.closest("[data-remember]");
    try { if (list) localStorage.setItem(list.dataset.remember, tab.id); } catch { /* a private window: this page only */ }
  };
  const recall = (list) => {
    try { return document.getElementById(localStorage.getItem(list.dataset.remember) ?? ""); } catch { return null; }
  };
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (!tab) return;
    choose(tab);
    remember(tab);
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tab = event.target.closest("[role=tab]");
    if (!step || !tab) return;
    const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    choose(next);
    remember(next);
    next.focus();
  });

  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    for (const list of document.querySelectorAll("[data-remember]")) {
      const tab = recall(list);
      if (tab && list.contains(tab)) choose(tab);
    }
  });
  document.addEventListener("htmx:load", (event) => localTimes(event.target.parentNode ?? document));
})();
