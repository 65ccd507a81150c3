// Narrows the contents to what is typed, and marks where one is.
document.addEventListener("DOMContentLoaded", () => {
  const filter = document.getElementById("narrow");
  const links = [...document.querySelectorAll(".contents li")];
  filter.closest("label").hidden = false;
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const item of links) item.hidden = !item.textContent.toLowerCase().includes(wanted);
    for (const group of document.querySelectorAll(".contents [data-group]")) {
      group.hidden = !group.querySelector("li:not([hidden])");
    }
  });

  const byId = new Map(links.map((item) => [item.firstElementChild.hash.slice(1), item.firstElementChild]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      document.querySelector(".contents [aria-current]")?.removeAttribute("aria-current");
      byId.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const id of byId.keys()) {
    const target = document.getElementById(id);
    if (target) watcher.observe(target);
  }
});
