// The values of a chart's step in a tooltip, for the pointer and for the arrow keys.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const when = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

  const createSvg = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const hide = (chart) => {
    chart.querySelector(".tooltip")?.remove();
    chart.querySelector(".step.chosen")?.classList.remove("chosen");
  };
  const show = (chart, step) => {
    if (step.classList.contains("chosen")) return;
    hide(chart);
    step.classList.add("chosen");
    step.querySelector("title")?.remove(); // or the browser shows its own tooltip as well
    const size = parseFloat(getComputedStyle(chart.querySelector("text")).fontSize);
    const tooltip = createSvg("g", { class: "tooltip" });
    const box = createSvg("rect", { rx: 4 });
    const text = createSvg("text", { x: 8, y: size + 5 });
    tooltip.append(box, text);
    [when.format(new Date(step.dataset.at)), ...step.dataset.text.split("\n")].forEach((line, number) => {
      const part = createSvg("tspan", number ? { x: 8, dy: size * 1.35 } : { class: "time" });
      part.textContent = line;
      text.append(part);
    });
    chart.append(tooltip);
    const inside = text.getBBox();
    const width = inside.width + 16;
    box.setAttribute("width", width);
    box.setAttribute("height", inside.height + 10);
    const middle = Number(step.getAttribute("x")) + Number(step.getAttribute("width")) / 2;
    const left = middle + 10 + width > Number(chart.dataset.right) ? middle - 10 - width : middle + 10;
    tooltip.setAttribute("transform", `translate(${Math.max(0, left)} 12)`);
  };

  document.addEventListener("pointerover", (event) => {
    const step = event.target.closest?.(".chart .step");
    if (step) show(step.closest(".chart"), step);
  });
  document.addEventListener("pointerout", (event) => {
    const chart = event.target.closest?.(".chart");
    if (chart && !chart.contains(event.relatedTarget)) hide(chart);
  });
  document.addEventListener("click", (event) => {
    const step = event.target.closest?.(".chart .step[data-href]");
    if (step) location.assign(step.dataset.href);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches?.(".chart:focus-visible")) {
      const steps = event.target.querySelectorAll(".step");
      if (steps.length) show(event.target, steps[steps.length - 1]);
    }
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.(".chart")) hide(event.target);
  });
  document.addEventListener("keydown", (event) => {
    const chart = event.target.closest?.(".chart");
    if (!chart) return;
    const steps = [...chart.querySelectorAll(".step")];
    const at = steps.findIndex((step) => step.classList.contains("chosen"));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (event.key === "Escape") hide(chart);
    if (event.key === "Enter" && steps[at]?.dataset.href) location.assign(steps[at].dataset.href);
    if (to === undefined) return;
    event.preventDefault();
    const next = steps[Math.min(steps.length - 1, Math.max(0, to))];
    show(chart, next);
    document.getElementById("announcer").textContent =
      `${when.format(new Date(next.dataset.at))}: ${next.dataset.text.replaceAll("\n", ", ")}`;
  });
})();
