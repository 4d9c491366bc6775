// The strip: other films of the patient as small pictures at the edge of her film. One of them is shown large beside it,
// in the place of the cases, as a pane like any other.

function buildStrip(data, send) {
  if (!data.room || !data.strip?.length) return [];
  return [element("div", { class: "strip", role: "group", "aria-label": say("Other films of this patient") }, ...data.strip.map((one) =>
    element("button", { type: "button", "data-strip": one.key, "aria-pressed": String(one.shown), title: one.title,
      onclick: () => send("beside", { pane: one.shown ? "" : one.key }) },
      element("img", { src: one.picture, alt: "" }), element("span", {}, one.label))))];
}

function showBeside(viewer) {
  // The pane beside her film, with the ways to go on from it.
  const { data, send, cases } = viewer, beside = viewer.panes.find((pane) => pane.beside);
  for (const old of cases.querySelectorAll(":scope > .pane")) old.remove();
  cases.classList.toggle("has-beside", Boolean(beside));
  viewer.lead.style.setProperty("--strip", `${6 * Math.ceil((data.strip?.length ?? 0) / 2)}rem`);
  if (!beside) return;
  const button = (text, name, pane) => element("button", { type: "button", class: "labelled", "data-beside": name, onclick: () => send(name, { pane }) }, text);
  beside.figure.querySelector("figcaption").append(element("div", { class: "ways" }, button(say("Back to the cases"), "beside", ""), button(say("Search with this film"), "taken", beside.key)));
  cases.append(beside.figure);
}
