// The page Search in one screen: her film at the height of the window, beside it the answer and the cases, and the case
// under the pointer or chosen by a key, shown large.

const HOVER = 400;  // milliseconds before the case under the pointer is shown large
const CINE = 900;  // milliseconds of each case where they play one after another
const CASE_GAP = 6;
const LEAST_CASE = 84;

function buildAnswer(data, send, play) {
  // The line that says what the neighbours carry, each finding a button; what they can be trusted for; maps on cases.
  const answer = data.answer;
  if (!answer) return [];
  const findings = answer.findings.map((one) => {
    const title = { title: one.title, class: one.beyond ? "finding" : "finding chance" };
    const words = [element("strong", {}, one.label ?? one.name), ` ${one.share}`, one.beyond ? null : element("span", { class: "mark" }, say("chance?"))];
    return one.askable
      ? element("button", { type: "button", ...title, "data-finding": one.name, "aria-pressed": String(one.asked), onclick: () => send("finding", { pane: "query", finding: one.name }) }, ...words)
      : element("span", title, ...words);
  });
  const maps = answer.mappable ? element("button", { type: "button", class: "labelled", "data-act": "case-maps", "aria-pressed": String(answer.mapped),
    title: say("Heat maps on the cases (M)"), onclick: () => send("mapped", { on: !answer.mapped }) }, icon("overlay"), say("Maps on cases")) : null;
  const cine = element("button", { type: "button", class: "labelled", "data-act": "play", "aria-pressed": "false", title: say("The cases one after another, large (U)"), onclick: play }, icon("play"), say("Play"));
  return [
    element("div", { class: "question" }, element("strong", {}, answer.question), element("span", { class: "quiet" }, answer.eligible), cine, maps),
    element("div", { class: "shares" }, element("span", { class: "quiet" }, say("Neighbours:")), ...findings),
    element("div", { class: "notes" }, ...answer.notes.map((note) => element("span", {}, note))),
  ];
}

const ROOM = {
  buildRoom() {
    this.answer = element("div", { class: "answer", "aria-live": "polite" });
    this.large = element("canvas", { "aria-hidden": "true" });
    this.preview = element("div", { class: "preview", hidden: true }, this.large, element("div", { class: "words" }));
    this.largePainter = new CanvasPainter();
    this.cases = element("div", { class: "cases" }, this.answer, this.rest, this.preview);
    return this.cases;
  },

  updateRoom() {
    const { data, root } = this;
    root.classList.toggle("room", Boolean(data.room));
    // What stands above it may go later, such as the progress of a transfer.
    const page = root.getRootNode().host?.closest?.(".stMainBlockContainer > div");
    if (page) this.observer.observe(page);
    if (!data.room) return this.arrangeRoom();
    const told = JSON.stringify(data.answer ?? null);
    if (told !== this.answer.told) this.answer.replaceChildren(...buildAnswer(data, this.send, () => this.play()));
    this.answer.told = told;
    this.showPlaying();
    showBeside(this);
    if (!this.panes.some((pane) => pane.key === this.shown?.key && !pane.lead)) this.shown = null;
    this.arrangeRoom();
  },

  arrangeRoom() {
    // The viewer fills what is left of the window, and the cases are as large as all of them can be at once.
    if (!this.data || !this.root.isConnected) return;
    const scroller = this.root.getRootNode().host?.closest?.(".stMain"), top = this.root.getBoundingClientRect().top + (scroller?.scrollTop ?? 0);
    this.root.style.setProperty("--above", `${Math.max(0, Math.round(top))}px`);
    if (!this.data.room) return;
    const cases = [...this.rest.children], { width, height } = this.rest.getBoundingClientRect();
    if (!cases.length || !width) return;
    const caption = cases[0].querySelector("figcaption").getBoundingClientRect().height || 38;
    const free = getComputedStyle(this.root).getPropertyValue("--stacked") !== "";  // stacked: the page is as long as it must be
    const sizes = cases.map((_, at) => {
      const columns = at + 1, rows = Math.ceil(cases.length / columns);
      const wide = (width - CASE_GAP * at) / columns, high = free ? wide : (height - CASE_GAP * (rows - 1)) / rows - caption;
      return { columns, side: Math.floor(Math.min(wide, high)) };
    });
    const fitting = free ? sizes[Math.min(cases.length, 4) - 1] : sizes.reduce((best, one) => (one.side > best.side ? one : best));
    this.caseColumns = fitting.columns;
    this.rest.style.setProperty("--case", `${Math.max(LEAST_CASE, fitting.side)}px`);
    this.rest.style.setProperty("--case-columns", fitting.columns);
  },

  isWide() {
    return Boolean(this.data?.room) && getComputedStyle(this.preview).position !== "absolute";
  },

  showLarge(pane, by) {
    // by : "hover" (gone with the pointer), "key" (until Escape or another choice) or "cine"; the hand ends a cine.
    if (by !== "cine") this.play(false);
    this.shown = pane && { key: pane.key, by };
    this.repaint();
  },

  play(on = !this.playing) {
    if (on === Boolean(this.playing)) return;
    clearInterval(this.playing);
    this.playing = on ? setInterval(() => this.playNext(), CINE) : null;
    if (on) this.playNext();
    this.showPlaying();
  },

  playNext() {
    const cases = this.panes.filter((pane) => !pane.lead && pane.pixels), at = cases.findIndex((pane) => pane.key === this.shown?.key);
    if (!cases.length || !this.data.room || !this.root.isConnected) return this.play(false);
    this.showLarge(cases[(at + 1) % cases.length], "cine");
  },

  showPlaying() {
    this.answer.querySelector("[data-act=play]")?.setAttribute("aria-pressed", String(Boolean(this.playing)));
  },

  paintLarge(tables) {
    const wide = this.isWide(), cases = this.data.room ? this.panes.filter((pane) => !pane.lead) : [];
    const pane = cases.find((one) => one.key === this.shown?.key) ?? (wide ? cases[0] : null);
    this.preview.hidden = !pane?.pixels || this.memory.alone !== null || this.panes.some((one) => one.beside);
    if (this.preview.hidden) return;
    if (!wide) this.preview.style.top = `${this.answer.offsetHeight}px`;
    const ratio = window.devicePixelRatio || 1, place = this.large.getBoundingClientRect();
    const rect = { left: 0, top: 0, width: Math.round(place.width * ratio), height: Math.round(place.height * ratio) };
    if (this.large.width !== rect.width || this.large.height !== rect.height) Object.assign(this.large, { width: rect.width, height: rect.height });
    const look = this.lookOf(pane, tables), stamp = this.stampOf(pane, rect, look);
    if (stamp !== null && stamp === this.largeStamp && pane === this.largePane) return;
    Object.assign(this, { largeStamp: stamp, largePane: pane });
    this.largePainter.paint(this.large.getContext("2d"), "large", rect, pane.pixels, pane.state.view, look);
    this.paintMarks(pane, this.large.getContext("2d"), rect, false);
    strokeRegion(this.large.getContext("2d"), rect, this.placeRegion(pane, rect), ratio);
    const words = [element("strong", {}, pane.title), ...pane.lines.map((line) => element("span", {}, line)), element("span", { class: "quiet" }, say("Enter compares · Shift and 1–5 rates"))];
    this.preview.querySelector(".words").replaceChildren(...words);
  },

  stepCases(pane, key) {
    // Arrows go from case to case; before the first stands her film.
    const cases = this.panes.filter((one) => !one.lead), at = cases.indexOf(pane);
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(this.caseColumns ?? 1), ArrowDown: this.caseColumns ?? 1 }[key];
    const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
    if (next >= cases.length) return;
    const chosen = cases[next] ?? this.panes.find((one) => one.lead);
    this.choose(chosen, true);
    this.showLarge(chosen.lead ? null : chosen, "key");
  },

  bindLarge(options) {
    let waiting = null, under = null;
    const leave = () => {
      clearTimeout(waiting);
      under = null;
      if (this.shown?.by === "hover") this.showLarge(null);
    };
    this.stage.addEventListener("pointermove", (event) => {
      if (!this.data?.room || event.pointerType === "touch" || event.buttons) return;
      const target = event.composedPath()[0], pane = this.panes.find((one) => !one.lead && one.box.contains(target));
      if (!pane) return leave();
      if (pane.key === under) return;
      clearTimeout(waiting);
      under = pane.key;
      if (this.shown?.by === "hover") this.showLarge(pane, "hover");
      else waiting = setTimeout(() => this.showLarge(pane, "hover"), HOVER);
    }, options);
    this.stage.addEventListener("pointerdown", (event) => {
      if (this.playing && !this.answer.contains(event.composedPath()[0])) this.showLarge(null);
      leave();
    }, options);
    this.stage.addEventListener("pointerleave", leave, options);
  },
};
