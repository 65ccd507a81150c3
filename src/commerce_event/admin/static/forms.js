// Forms: times in the viewer's zone, selects that submit, and texts that outlive the end of a session.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const two = (number) => String(number).padStart(2, "0");
  const local = (moment) =>
    `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}T${two(moment.getHours())}:${two(moment.getMinutes())}`;

  // <label for="since">Since (UTC)</label><input id="since" type="datetime-local" name="since" data-zone value="…">
  // The value is UTC, with or without a Z. It is shown in the viewer's zone, which takes the place of "UTC" in the
  // label; an ISO instant is submitted under the same name. Without scripts the field stays as it is.
  const showZone = (input) => {
    const given = input.getAttribute("value");
    const moment = given ? new Date(given.endsWith("Z") ? given : `${given}Z`) : null;
    const instant = Object.assign(document.createElement("input"), { type: "hidden", name: input.name });
    input.removeAttribute("name");
    input.after(instant);
    if (moment && !isNaN(moment)) input.value = local(moment);
    const take = () => {
      const chosen = input.value ? new Date(input.value) : null;
      instant.value = chosen && !isNaN(chosen) ? chosen.toISOString() : "";
      instant.disabled = instant.value === ""; // an empty field need not be in the address
    };
    input.addEventListener("input", take);
    input.addEventListener("change", take);
    take();
    for (const label of input.labels) {
      for (const part of label.childNodes) {
        if (part.nodeType === Node.TEXT_NODE) part.data = part.data.replace("UTC", zone);
        else if (part !== input) part.textContent = part.textContent.replace("UTC", zone);
      }
    }
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
  });

  // -- typed text is kept in this tab when a form is sent, and put back if the session turns out to have ended
  const STORE = "typed";
  const SECRET = /secret|password|token|headers|^key$|csrf/i;
  const fields = (form) => [...form.elements].filter((each) =>
    each.name && !SECRET.test(each.name) && each.type !== "hidden" && each.type !== "password" && !each.matches("[data-secret], button"));
  const keep = (form) => {
    const texts = fields(form).map((each) => [each.name, each.value, each.checked ?? null]);
    if (!texts.length) return;
    const number = [...document.forms].indexOf(form);
    sessionStorage.setItem(STORE, JSON.stringify({ page: location.pathname + location.search, number, texts, ended: false }));
  };
  const refill = () => {
    const typed = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
    if (!typed) return;
    if (document.querySelector("[data-ended]")) {
      sessionStorage.setItem(STORE, JSON.stringify({ ...typed, ended: true }));
      return;
    }
    if (document.body.matches(".gate") && typed.ended) return; // a wrong key at first
    sessionStorage.removeItem(STORE);
    const form = document.forms[typed.number];
    if (!typed.ended || typed.page !== location.pathname + location.search || !form) return;
    fields(form).forEach((each, number) => {
      const [name, value, checked] = typed.texts[number] ?? [];
      if (name !== each.name) return;
      if (each.matches("[type=checkbox], [type=radio]")) each.checked = checked;
      else each.value = value;
      each.dispatchEvent(new Event("input", { bubbles: true }));
    });
    document.getElementById("said").textContent = "What you had typed is back in the form.";
  };
  const quietly = (work) => { try { work(); } catch { /* no storage in a private window: the text is lost as before */ } };
  document.addEventListener("submit", (event) => {
    if (event.target.method === "post" && !document.body.matches(".gate")) quietly(() => keep(event.target));
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("input[type='datetime-local'][data-zone]").forEach(showZone);
    quietly(refill);
  });
})();
