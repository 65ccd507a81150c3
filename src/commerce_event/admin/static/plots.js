// What a step of a plot holds, in a tip that follows the pointer, and the arrow keys once the plot has the focus.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const when = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

  const made = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const hide = (plot) => {
    plot.querySelector(".tip")?.remove();
    plot.querySelector(".step.chosen")?.classList.remove("chosen");
  };
  const show = (plot, step) => {
    if (step.classList.contains("chosen")) return;
    hide(plot);
    step.classList.add("chosen");
    step.querySelector("title")?.remove(); // else the browser shows a tip of its own as well
    const size = parseFloat(getComputedStyle(plot.querySelector("text")).fontSize);
    const tip = made("g", { class: "tip" });
    const box = made("rect", { rx: 4 });
    const text = made("text", { x: 8, y: size + 5 });
    tip.append(box, text);
    [when.format(new Date(step.dataset.at)), ...step.dataset.text.split("\n")].forEach((line, number) => {
      const part = made("tspan", number ? { x: 8, dy: size * 1.35 } : { class: "when" });
      part.textContent = line;
      text.append(part);
    });
    plot.append(tip);
    const inside = text.getBBox();
    const width = inside.width + 16;
    box.setAttribute("width", width);
    box.setAttribute("height", inside.height + 10);
    const middle = Number(step.getAttribute("x")) + Number(step.getAttribute("width")) / 2;
    const beside = middle + 10 + width > Number(plot.dataset.right) ? middle - 10 - width : middle + 10;
    tip.setAttribute("transform", `translate(${Math.max(0, beside)} 12)`);
  };

  document.addEventListener("pointerover", (event) => {
    const step = event.target.closest?.(".plot .step");
    if (step) show(step.closest(".plot"), step);
  });
  document.addEventListener("pointerout", (event) => {
    const plot = event.target.closest?.(".plot");
    if (plot && !plot.contains(event.relatedTarget)) hide(plot);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches?.(".plot:focus-visible")) {
      const steps = event.target.querySelectorAll(".step");
      if (steps.length) show(event.target, steps[steps.length - 1]);
    }
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.(".plot")) hide(event.target);
  });
  document.addEventListener("keydown", (event) => {
    const plot = event.target.closest?.(".plot");
    if (!plot) return;
    const steps = [...plot.querySelectorAll(".step")];
    const at = steps.findIndex((step) => step.classList.contains("chosen"));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (event.key === "Escape") hide(plot);
    if (to === undefined) return;
    event.preventDefault();
    const next = steps[Math.min(steps.length - 1, Math.max(0, to))];
    show(plot, next);
    document.getElementById("said").textContent =
      `${when.format(new Date(next.dataset.at))}: ${next.dataset.text.replaceAll("\n", ", ")}`;
  });
})();
