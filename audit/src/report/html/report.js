"use strict";
// Conveniences only: everything is readable without this.
for (const tools of document.querySelectorAll(".tools")) {
  const part = document.getElementById(tools.dataset.for);
  const search = tools.querySelector("input[type=search]");
  const worse = tools.querySelector("input[type=checkbox]");
  const output = tools.querySelector("output");
  const lines = [...part.querySelectorAll("details.bundle, table.findings > tbody > tr, table.rest > tbody > tr")]
    .filter((line) => line.tagName === "DETAILS" || !line.closest("details.bundle"));
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const filtering = words.length > 0 || (worse && worse.checked);
    let shown = 0;
    for (const line of lines) {
      const text = filtering ? line.textContent.toLowerCase() : "";
      const passed = line.dataset.result === "proven" || Boolean(line.querySelector(":scope > td > .passed"));
      const show = words.every((word) => text.includes(word)) && !(worse && worse.checked && passed);
      line.hidden = !show;
      shown += show ? 1 : 0;
    }
    output.textContent = filtering ? `${shown} of ${lines.length}` : "";
  };
  search.addEventListener("input", filter);
  if (worse) worse.addEventListener("change", filter);
  for (const button of tools.querySelectorAll("button[data-open]")) {
    button.addEventListener("click", () => {
      for (const fold of part.querySelectorAll("details.bundle")) fold.open = button.dataset.open === "1";
    });
  }
  if (lines.length > 0) tools.hidden = false;
}
// Browsers that do not print what is folded.
const folded = [];
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    folded.push(fold);
    fold.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const fold of folded.splice(0)) fold.open = false;
});
