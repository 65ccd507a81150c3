// "All event types" replaces every other choice of event types, on the page as on the server.
(() => {
  const all = document.querySelector("[data-all-types]");
  if (!all) return;
  const others = [...document.querySelectorAll("[data-type]")];
  const update = () => {
    for (const each of others) {
      each.disabled = all.checked;
      if (all.checked) each.checked = false;
    }
  };
  all.addEventListener("change", update);
  update();
})();

// The payload: only the properties of the chosen event types are shown, a property has the same tick in each of them,
// and a sentence says what is sent and what is left out.
(() => {
  const LISTED_MAX = 12;
  const form = document.querySelector("[data-properties]")?.closest("form");
  if (!form) return;
  const selected = form.querySelector("[data-payload='selected']");
  const picker = form.querySelector("[data-properties]");
  const groups = [...picker.querySelectorAll("[data-group-of]")];
  const boxes = [...picker.querySelectorAll("input[name='properties']")];
  const other = picker.querySelector("input[name='other_properties']");
  const sentence = form.querySelector("[data-payload-sentence]");
  const boxesOf = (group) => [...group.querySelectorAll("input[name='properties']")];
  const listed = (names, last = []) => {
    const rest = names.length > LISTED_MAX ? [`${names.length - LISTED_MAX} more`] : [];
    const parts = [...names.slice(0, LISTED_MAX), ...rest, ...last];
    return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts.join("");
  };

  const inWords = (shown) => {
    if (!selected.checked) return "Sent: the whole event, as it was accepted.";
    const offered = new Map(shown.flatMap(boxesOf).map((each) => [each.value, each.checked]));
    const names = (checked) => [...offered].filter(([, value]) => value === checked).map(([name]) => name).sort();
    const others = other.value.split(",").map((each) => each.trim().replace(/^\$\./, "")).filter(Boolean);
    const sent = [...names(true), ...others];
    const unknown = others.length ? "all others that no event type has" : "all that no event type has";
    const required = sent.length ? listed(["the required properties", ...sent]) : "the required properties only";
    return `Sent: ${required}. Left out: ${listed(names(false), [unknown])}.`;
  };
  const update = () => {
    const chosen = new Set([...form.querySelectorAll("input[name='event_types']:is(:checked, [type='hidden'])")].map((each) => each.value));
    for (const group of groups) {
      group.hidden = !["*", group.dataset.category, group.dataset.groupOf].some((each) => chosen.has(each));
      const optional = boxesOf(group);
      for (const each of optional) each.disabled = group.hidden; // not submitted
      group.querySelector("[data-count]").textContent = optional.length
        ? `${optional.filter((each) => each.checked).length} of ${optional.length} optional` : "all required";
    }
    picker.hidden = !selected.checked;
    for (const each of form.querySelectorAll("[data-payload-sentence], [data-ticks]")) each.hidden = false;
    const text = inWords(groups.filter((each) => !each.hidden));
    if (sentence.textContent !== text) sentence.textContent = text;
  };
  form.addEventListener("input", (event) => {
    if (event.target.name === "properties") {
      for (const each of boxes) if (each.value === event.target.value) each.checked = event.target.checked;
    }
    update();
  });
  form.addEventListener("change", update);
  form.addEventListener("click", (event) => {
    const { tick } = event.target.dataset;
    if (tick === undefined) return;
    const shown = new Set(boxes.filter((each) => !each.disabled).map((each) => each.value));
    for (const each of boxes) if (shown.has(each.value)) each.checked = tick === "all";
    update();
  });
  update();
})();
