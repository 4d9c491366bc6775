// The tools to measure and annotate with, the list of what is drawn, and what millimetres are worth.

const BENCH = {
  buildBench() {
    const button = (name, title, act, text) => element("button", { type: "button", "data-mark-act": name, title, "aria-label": title, onclick: act }, text ?? icon(name));
    const tools = [button("select", say("Select and move (S)"), () => this.act("select")),
      ...Object.entries(MARKS).map(([kind, { title, key }]) => button(kind, `${say(title)} (${key})`, () => this.act(kind)))];
    const step = (from, to) => () => this.stepMarks(this.pane(), from, to);
    this.bench = element("div", { class: "bench", hidden: true, role: "group", "aria-label": say("Measure and annotate") },
      element("div", { class: "group" }, ...tools),
      element("div", { class: "group" }, button("undo", say("Undo (Ctrl+Z)"), step("undo", "redo")), button("redo", say("Redo (Ctrl+Shift+Z)"), step("redo", "undo")),
        button("delete", say("Delete what is chosen (Delete)"), () => this.dropMark(this.pane())), button("close", say("Close the list; what is drawn stays"), () => this.openBench(false), "×")),
      element("p", { class: "hint", "aria-live": "polite" }),
      element("label", { class: "words", hidden: true }, say("Words"), element("input", { type: "text", maxlength: 120, oninput: (event) => this.writeMark(event.target.value),
        onkeydown: (event) => { if (event.key === "Enter" || event.key === "Escape") this.pane()?.figure.focus(); } })),
      element("ol", { class: "marks" }), element("p", { class: "worth quiet" }));
    return this.bench;
  },

  openBench(open) {
    this.memory.bench = open;
    if (!open && (MARKS[this.memory.tool] || this.memory.tool === "select")) this.memory.tool = "window";
    if (!open) this.marking = null;
    this.showControls();
  },

  placeBench() {
    // In the room it stands in the place of the caption of the film that is worked on; elsewhere over the stage's edge.
    const { room } = this.data, figure = room ? this.panes.find((pane) => pane.key === this.memory.alone || (!this.memory.alone && pane.lead))?.figure : null;
    const home = figure ?? this.stage;
    if (this.bench.parentElement !== home) home.append(this.bench);
  },

  showBench() {
    const { bench, memory } = this, pane = this.pane();
    bench.hidden = !memory.bench || !this.data?.annotate || !pane;
    if (bench.hidden) return;
    this.placeBench();
    const { items, undo, redo } = this.marksOf(pane), chosen = this.chosenMark(pane), { marking } = this;
    const stamp = [pane.key, memory.tool, chosen, marking?.points.length, undo.length, redo.length, Boolean(pane.source)].join();
    if (this.benchStamp === stamp && this.benchItems === items) return;
    Object.assign(this, { benchStamp: stamp, benchItems: items });
    for (const one of bench.querySelectorAll("[data-mark-act]")) one.setAttribute("aria-pressed", String(one.dataset.markAct === memory.tool));
    const enable = (name, on) => { bench.querySelector(`[data-mark-act=${name}]`).disabled = !on; };
    enable("undo", undo.length);
    enable("redo", redo.length);
    enable("delete", chosen !== null);
    const kind = MARKS[memory.tool], begun = marking?.key === pane.key ? marking.points.length : 0;
    bench.querySelector(".hint").textContent = kind
      ? say(kind.points > 1 ? mark("{tool}: mark {point} ({place} of {count}).") : mark("{tool}: mark {point}."), { tool: say(kind.title), point: say(kind.steps[begun]), place: begun + 1, count: kind.points })
      : memory.tool === "select" ? say("Press on what is drawn to choose it; drag it or one of its points.") : say("Choose a tool.");
    const words = bench.querySelector(".words"), input = words.querySelector("input");
    words.hidden = chosen === null;
    if (chosen !== null && input.value !== items[chosen].text && !(this.isWriting() && input.value.trim() === items[chosen].text)) input.value = items[chosen].text;
    bench.querySelector(".marks").replaceChildren(...items.map((one, index) => {
      const told = pane.source ? describeValues(measureMark(one, pane.source, pane.spacing)) : "";
      return element("li", {},
        element("button", { type: "button", class: "entry", "aria-pressed": String(index === chosen), "data-entry": index, onclick: () => { this.chooseMark(pane, index); this.showControls(); } },
          element("span", { class: "quiet" }, `${say(MARKS[one.kind].title)}${one.text ? ` · ${one.text}` : ""}`), element("span", { class: "value" }, told)),
        element("button", { type: "button", class: "drop", title: say("Delete"), "aria-label": say("Delete {mark}", { mark: say(MARKS[one.kind].title) }), onclick: () => this.dropMark(pane, index) }, "×"));
    }));
    const lengths = [...items, ...(kind ? [{ kind: memory.tool }] : [])].some((one) => ["length", "ellipse", "rectangle"].includes(one.kind));
    bench.querySelector(".worth").textContent = lengths ? pane.worth ?? "" : "";
  },
};
