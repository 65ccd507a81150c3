// Forms: times in the viewer's time zone, selects that submit, and drafts that survive the end of a session.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const two = (number) => String(number).padStart(2, "0");
  const seconds = (moment) => {
    const ms = moment.getMilliseconds();
    if (!ms && !moment.getSeconds()) return "";
    return `:${two(moment.getSeconds())}${ms ? `.${String(ms).padStart(3, "0")}` : ""}`;
  };
  const local = (moment) =>
    `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}T${two(moment.getHours())}:${two(moment.getMinutes())}${seconds(moment)}`;

  // <label for="since">Since (UTC)</label><input id="since" type="datetime-local" name="since" data-zone value="…">
  // The value is UTC, with or without a Z. It is shown in the viewer's zone, whose name replaces "UTC" in
  // the label. An ISO instant is submitted under the same name. Without scripts the field is not changed.
  // In the hour that comes twice when summer time ends, a time keeps the offset from UTC of the given value.
  const showZone = (input) => {
    const given = input.getAttribute("value");
    const moment = given ? new Date(given.endsWith("Z") ? given : `${given}Z`) : null;
    const instant = Object.assign(document.createElement("input"), { type: "hidden", name: input.name });
    input.removeAttribute("name");
    input.after(instant);
    if (moment && !isNaN(moment)) input.value = local(moment);
    const update = () => {
      let chosen = input.value ? new Date(input.value) : null;
      if (chosen && moment && !isNaN(moment)) {
        const kept = new Date(Date.parse(`${input.value}Z`) + moment.getTimezoneOffset() * 60_000);
        if (local(kept) === local(chosen)) chosen = kept;
      }
      instant.value = chosen && !isNaN(chosen) ? chosen.toISOString() : "";
      instant.disabled = instant.value === ""; // keep empty fields out of the address
    };
    input.addEventListener("input", update);
    input.addEventListener("change", update);
    update();
    for (const label of input.labels) {
      for (const part of label.childNodes) {
        if (part.nodeType === Node.TEXT_NODE) part.data = part.data.replace("UTC", zone);
        else if (part !== input) part.textContent = part.textContent.replace("UTC", zone);
      }
    }
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-auto-submit]")) event.target.form.requestSubmit();
  });

  // -- Drafts: what was typed is stored in this tab when a form is sent, and restored if the session had ended.
  const STORE = "draft";
  const SECRET = /secret|password|token|headers|^key$|csrf/i;
  const fields = (form) => [...form.elements].filter((each) =>
    each.name && !SECRET.test(each.name) && each.type !== "hidden" && each.type !== "password" && !each.matches("[data-secret], button"));
  const saveDraft = (form) => {
    const texts = fields(form).map((each) => [each.name, each.value, each.checked ?? null]);
    if (!texts.length) return;
    const number = [...document.forms].indexOf(form);
    sessionStorage.setItem(STORE, JSON.stringify({ page: location.pathname + location.search, number, texts, ended: false }));
  };
  const restoreDraft = () => {
    const draft = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
    if (!draft) return;
    if (document.querySelector("[data-ended]")) {
      sessionStorage.setItem(STORE, JSON.stringify({ ...draft, ended: true }));
      return;
    }
    if (document.body.matches(".sign-in-page") && draft.ended) return; // after a wrong key
    sessionStorage.removeItem(STORE);
    const form = document.forms[draft.number];
    if (!draft.ended || draft.page !== location.pathname + location.search || !form) return;
    fields(form).forEach((each, number) => {
      const [name, value, checked] = draft.texts[number] ?? [];
      if (name !== each.name) return;
      if (each.matches("[type=checkbox], [type=radio]")) each.checked = checked;
      else each.value = value;
      each.dispatchEvent(new Event("input", { bubbles: true }));
    });
    document.getElementById("announcer").textContent = "Your input was restored.";
  };
  const ignoringErrors = (work) => { try { work(); } catch { /* no storage: drafts are not kept */ } };
  document.addEventListener("submit", (event) => {
    if (event.target.method === "post" && !document.body.matches(".sign-in-page")) ignoringErrors(() => saveDraft(event.target));
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("input[type='datetime-local'][data-zone]").forEach(showZone);
    ignoringErrors(restoreDraft);
  });
})();
