// The elements of the page: toolbar, panes with their captions, the list of keys. No drawing and no decisions here.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const ICONS = {
  window: "M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  preset: "M4 7h10M18 7h2M4 12h2M10 12h10M4 17h8M16 17h4M14 5v4M6 10v4M12 15v4",
  pan: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  zoom: "M10 4a6 6 0 1 0 0 12a6 6 0 1 0 0-12zM15 15l6 6M10 7v6M7 10h6",
  region: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
  invert: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18M14 7h4M14 12h6M14 17h4",
  loupe: "M11 4a7 7 0 1 0 0 14a7 7 0 1 0 0-14zM16 16l5 5",
  link: "M9 15l6-6M8 11l-3 3a3.5 3.5 0 0 0 5 5l3-3M16 13l3-3a3.5 3.5 0 0 0-5-5l-3 3",
  overlay: "M12 3l9 5-9 5-9-5zM3 12l9 5 9-5M3 16l9 5 9-5",
  contour: "M5 13c0-5 3-8 7-8s7 4 7 8-3 6-7 6-7-2-7-6zM9 13c0-2 1-4 3-4s3 2 3 4-1 3-3 3-3-1-3-3z",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M9 9h6v6H9z",
  reset: "M5 8a8 8 0 1 1-1 6M5 3v5h5",
  more: "M4 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0zM11 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0zM18 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
  save: "M12 3v12M7 11l5 5 5-5M4 20h16",
  second: "M3 5h12v9H3zM9 17h12V9",
  measure: "M3 15L15 3l6 6L9 21zM7 11l2 2M10 8l3 3M13 5l2 2",
  play: "M7 4l12 8-12 8z",
  turn: "M19 8a8 8 0 1 0 1 6M20 3v5h-5",
  mirror: "M12 3v18M9 7l-6 10h6zM15 7l6 10h-6z",
  select: "M6 3l12 9-6 1 3 7-3 1-3-7-4 4z",
  length: "M4 20L20 4M2 18l4 4M18 2l4 4",
  angle: "M19 5L5 19h15M13 19a8 8 0 0 0-2.5-5.5",
  ratio: "M12 3v18M3 9h18M3 7v4M21 7v4M8 16h9M8 14v4M17 14v4",
  ellipse: "M12 6c5 0 9 2.7 9 6s-4 6-9 6-9-2.7-9-6 4-6 9-6z",
  rectangle: "M4 6h16v12H4z",
  arrow: "M20 4L5 19M5 11v8h8",
  text: "M5 5h14M12 5v15",
  undo: "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
  redo: "M15 5l5 5-5 5M20 10H10a6 6 0 0 0 0 12h3",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 14h8l1-14",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 17.5v.5",
};

function icon(name) {
  const holder = element("span", { class: "icon", "aria-hidden": "true" });
  holder.innerHTML = `<svg viewBox="0 0 24 24"><path d="${ICONS[name]}"/></svg>`;
  return holder;
}

const KEYS = [
  [mark("Drag"), mark("window: left and right changes the width, up and down the level")],
  [mark("Right or middle drag, Shift and drag"), mark("move the film")],
  [mark("Wheel, + and −"), mark("zoom to the pointer")],
  [mark("Two fingers"), mark("zoom and move")],
  ["F, 0", mark("fit to the pane, one film pixel to one screen pixel")],
  ["R", mark("reset view, window and turn")],
  ["I", mark("invert")],
  ["P", mark("next window preset")],
  ["N, W", mark("narrower, wider window")],
  [mark(", and ."), mark("lower, higher level")],
  ["L", mark("loupe")],
  ["O", mark("heat map on or off")],
  ["C", mark("contour or fill")],
  [mark("Space (hold)"), mark("heat map off while held, or on where it is off")],
  ["K", mark("link or unlink the panes")],
  ["D, A, H, E, X, V, T", mark("measure and annotate: length, angle, heart to chest, ellipse, rectangle, arrow, text; the same key again places one in the middle")],
  [mark("S, Escape"), mark("select what is drawn; let go of it, and back to the window")],
  [mark("Arrows, Shift and arrows, G"), mark("with something chosen: move it, move one of its points, the next point")],
  [mark("Delete, Ctrl+Z, Ctrl+Shift+Z"), mark("delete what is chosen, undo, redo")],
  ["Y, Z", mark("turn the film by 90°, mirror it")],
  ["B", mark("box on the query: arrows move it, Shift and arrows size it, Enter searches with it, Escape drops it")],
  ["1 – 9", mark("choose the case that bears the number; on Rate, cases A, B, … are 1, 2, … where 1 – 5 do not answer")],
  ["Q", mark("choose your film")],
  ["M", mark("on Search: heat maps on the cases, on or off")],
  ["U", mark("on Search: the cases one after another, large; U, Escape or a press stops it")],
  [mark("Shift and 1 – 5"), mark("rate the chosen case")],
  [mark("Arrows"), mark("on Search: from case to case, each shown large, Escape ends it; on Compare, left and right: the case before and after; elsewhere, and with Shift: move the film")],
  [mark("Enter"), mark("on Search: compare the case that is shown large; elsewhere: one pane alone, and back")],
  [mark("Double click"), mark("one pane alone, and back")],
  ["?", mark("this list")],
];

function buildToolbar(act) {
  const button = (name, title, extra = {}) =>
    element("button", { type: "button", "data-act": name, title, "aria-label": title, onclick: () => act(name), ...extra }, icon(name));
  const slider = (name, label) =>
    element("label", { class: "slider", title: label }, label,
      element("input", { type: "range", min: 0, max: 100, "data-slider": name, "aria-label": say("Heat map: {what}", { what: label }),
        oninput: (event) => act(name, event.target.value / 100) }));
  const presets = element("select", { "aria-label": say("Window preset"), "data-act": "preset", onchange: (event) => act("preset", event.target.value) },
    ...PRESETS.map(([name, title]) => element("option", { value: name }, say(title))));
  return element("div", { class: "toolbar", role: "toolbar", "aria-label": say("Viewer") },
    element("span", { class: "group tools" }, button("window", say("Window (drag)")), button("pan", say("Move (drag)")), button("zoom", say("Zoom (drag)")),
      element("button", { type: "button", class: "labelled", "data-act": "region", title: say("Draw a region on the query and search with it"),
        onclick: () => act("region") }, icon("region"), say("Region"))),
    element("span", { class: "group" }, element("span", { class: "preset", title: say("Window preset (P)") }, icon("preset"), presets), button("invert", say("Invert (I)")), button("loupe", say("Loupe (L)")), button("link", say("Link panes (K)"))),
    element("span", { class: "group marking" }, button("measure", say("Measure and annotate"))),
    element("span", { class: "group" }, button("turn", say("Turn by 90° (Y)")), button("mirror", say("Mirror left and right (Z)"))),
    element("span", { class: "group" }, button("fit", say("Fit to the pane (F)")),
      element("button", { type: "button", title: say("One film pixel to one screen pixel (0)"), onclick: () => act("one") }, "1:1"),
      button("reset", say("Reset view, window and turn (R)"))),
    element("span", { class: "group overlay" }, button("overlay", say("Heat map (O)")), button("more", say("How the heat map is drawn")),
      element("span", { class: "fly" }, button("contour", say("Contour or fill (C)")), slider("opacity", say("Opacity")), slider("threshold", say("Threshold")),
        element("span", { class: "legend" }))),
    element("span", { class: "group end" }, button("second", say("Second window, for another monitor")), button("save", say("Save the current picture as PNG")), button("help", say("Keys (?)"))));
}

function buildHelp() {
  const rows = KEYS.map(([key, what]) => element("tr", {}, element("th", {}, say(key)), element("td", {}, say(what))));
  const dialog = element("dialog", { class: "help", "aria-label": say("Keys") }, element("h2", {}, say("Keys")), element("table", {}, ...rows));
  dialog.append(element("form", { method: "dialog" }, element("button", {}, say("Close"))));
  return dialog;
}

function buildBars(bars, ask) {
  // Probabilities, each with its operating point in the middle. A bar that can be asked for is a button. The mark for
  // chance is one sign, since the word leaves no room for a long name.
  return element("div", { class: "bars" }, ...bars.map((bar) => {
    const button = { type: "button", "data-finding": bar.name, "aria-pressed": String(Boolean(bar.asked)), onclick: () => ask(bar.name) };
    const middle = bar.mark !== null && bar.mark !== undefined;
    return element(bar.askable ? "button" : "div", { class: bar.above ? "bar above" : "bar", title: bar.title ?? "", ...(bar.askable ? button : {}) },
      element("span", { class: "name" }, bar.label ?? bar.name),
      element("span", { class: "track" }, element("span", { class: "fill", style: `width:${(100 * (bar.place ?? bar.value)).toFixed(1)}%` }),
        middle ? element("span", { class: "mark" }) : null),
      element("span", { class: "value" }, bar.weak ? element("abbr", { class: "weak", title: say("chance?") }, "?") : null, bar.value.toFixed(2)));
  }));
}

function buildScale(pane, scale, send) {
  const group = element("div", { class: "scale", role: "radiogroup", "aria-label": say("Similarity of {film}", { film: pane.title }) });
  group.append(element("span", { class: "hint asking" }, say("Similar?")));
  const tell = (label) => {
    const hint = group.querySelector(".hint");
    hint.textContent = label;
    hint.classList.remove("asking");
  };
  scale.forEach(([value, label]) => {
    const chosen = pane.rating === value;
    group.append(element("button", {
      type: "button", role: "radio", "aria-checked": String(chosen), title: label, "aria-label": `${value}: ${label}`, "data-rating": value,
      onclick: (event) => {
        for (const other of group.querySelectorAll("button")) other.setAttribute("aria-checked", String(other === event.currentTarget));
        tell(label);
        send("rated", { pane: pane.key, rating: value });
      },
    }, String(value)));
  });
  if (pane.rating) tell(scale.find(([value]) => value === pane.rating)?.[1] ?? "");
  return group;
}

function buildTools(pane, send) {
  const tools = [];
  if (pane.markable) {
    for (const [name, text, title] of [["more", "+", say("More like this case")], ["less", "−", say("Less like this case")]]) {
      tools.push(element("button", { type: "button", class: "mark", title, "aria-label": title, "aria-pressed": String(pane.mark === name), "data-mark": name,
        onclick: () => send("marked", { pane: pane.key, mark: pane.mark === name ? null : name }) }, text));
    }
  }
  if (pane.openable) tools.push(element("button", { type: "button", class: "mark", title: say("Compare full size (Enter)"), "aria-label": say("Compare full size"),
    "data-open": "", onclick: () => send("opened", { pane: pane.key }) }, "⤢"));
  return tools;
}

function buildShortCaption(pane, data, send) {
  // Of a case in the room: what it shows and how near it is; the buttons come with the pointer, the focus or the choice.
  const rated = pane.rating ? element("span", { class: "rated", title: say("Your rating: {score} of 5", { score: pane.rating }) }, `${pane.rating}/5`) : null;
  return element("figcaption", { title: [pane.title, ...(pane.lines ?? []), pane.note].filter(Boolean).join("\n") },
    element("div", { class: "head" }, element("strong", {}, pane.heading), rated),
    element("div", { class: "under" }, element("div", { class: "line" }, pane.short),
      element("div", { class: "tools" }, ...(pane.ratable ? [buildScale(pane, data.scale, send)] : []), ...buildTools(pane, send))));
}

function keepTogether(line) {
  // "512 × 512, 8 bits · 0.143 mm pixels": a narrow caption is broken between facts, not within one.
  return line.split(" · ").map((fact) => (fact.length < 24 ? fact.replaceAll(" ", "\u00a0") : fact)).join(" · ");
}

function buildCaption(pane, data, send) {
  if (pane.heading) return buildShortCaption(pane, data, send);
  const caption = element("figcaption", {}, element("div", { class: "head" }, element("strong", { title: pane.title }, pane.title), ...buildTools(pane, send)));
  for (const line of pane.lines ?? []) caption.append(element("div", { class: "line" }, keepTogether(line)));
  if (pane.orientation !== "verified") caption.append(element("div", { class: "line unverified" }, say("orientation unverified")));
  if (pane.note) caption.append(element("div", { class: "note" }, pane.note));
  if (pane.bars?.length) caption.append(buildBars(pane.bars, (finding) => send("finding", { pane: pane.key, finding })));
  if (pane.details) caption.append(element("details", {}, element("summary", {}, pane.details.title), element("p", {}, pane.details.text)));
  if (pane.ratable) caption.append(buildScale(pane, data.scale, send));
  return caption;
}

function buildPane(pane, data, send, act) {
  const film = element("div", { class: "film", role: "img", "aria-label": pane.alternative ?? pane.title });
  if (pane.orientation === "verified") film.append(element("span", { class: "side", "data-side": "R", "data-edge": "left", title: say("The patient's right") }, "R"), element("span", { class: "side", "data-side": "L", "data-edge": "right", title: say("The patient's left") }, "L"));
  if (pane.badge) film.append(element("span", { class: "badge" }, pane.badge));
  film.append(element("span", { class: "readout" }), element("span", { class: "turned", hidden: true }), element("span", { class: "word" }, say("Loading film…")), element("div", { class: "box", hidden: true }));
  const figure = element("figure", { class: pane.lead ? "pane lead" : "pane", tabindex: 0, "data-pane": pane.key, "aria-label": pane.title });
  figure.append(film, buildCaption(pane, data, send));
  if (data.room && pane.lead && pane.map) figure.append(element("button", { type: "button", class: "chip labelled", "data-act": "overlay",
    title: say("Heat map (O); hold the space bar to look"), onclick: () => act("overlay") }, icon("overlay"), pane.mapTitle ?? say("Heat map")));
  return figure;
}
