// One viewer: keeps views and style in the page, paints what is visible, tells Python only what was decided.

const VIEWER_MEMORY = (globalThis[Symbol.for("icbir.viewers")] ??= new Map());

class Viewer {
  constructor(root, name) {
    this.root = root;
    this.memory = VIEWER_MEMORY.get(name) ?? {
      panes: new Map(), tool: "window", preset: "auto", invert: false, linked: true, overlay: null, loupe: false,
      style: null, chosen: null, alone: null, bench: false, mark: null, grip: 0,
    };
    VIEWER_MEMORY.set(name, this.memory);
    this.canvas = element("canvas", { class: "surface", "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d");
    this.lens = element("canvas", { class: "lens", width: 220, height: 220, "aria-hidden": "true", hidden: true });
    this.lensPainter = new CanvasPainter();
    this.painter = WebGLPainter.open() ?? new CanvasPainter();
    this.toolbar = buildToolbar((name, value) => this.act(name, value));
    this.help = buildHelp();
    this.lead = element("div", { class: "leads" });
    this.rest = element("div", { class: "rest" });
    this.stage = element("div", { class: "stage" }, this.canvas, this.lead, this.buildRoom(), this.lens);
    this.buildBench();
    root.replaceChildren(this.toolbar, this.stage, this.help);
    this.panes = [];
    this.frames = [];
    this.observer = new ResizeObserver(() => { this.arrangeRoom(); this.repaint(); });
    this.observer.observe(this.stage);
    this.stop = new AbortController();
    const options = { signal: this.stop.signal };
    window.addEventListener("scroll", () => this.repaint(), { ...options, capture: true, passive: true });
    window.addEventListener("keydown", (event) => this.holdKeys(event), { ...options, capture: true });
    window.addEventListener("keydown", (event) => this.press(event), options);
    window.addEventListener("keyup", (event) => event.code === "Space" && this.peek(false), options);
    window.addEventListener("pointerup", (event) => this.freeArrows(event), { ...options, capture: true });
    this.watchTheHand({ ...options, capture: true });
    bindPointer(this, options);
    this.bindLarge(options);
    window.addEventListener("resize", () => this.arrangeRoom(), options);
    this.followSecond();
  }

  close() {
    if (this.data?.guard) document.querySelector(this.data.guard)?.removeAttribute("inert");
    this.stop.abort();
    this.observer.disconnect();
    clearInterval(this.playing);
    this.panes = [];
    this.clearSecond();
  }

  update(component) {
    const data = component.data;
    const send = (name, value) => this.decide(name, value);
    if (this.data && this.data.about !== data.about) this.leaveSubject();
    Object.assign(this, { data, send, setState: component.setStateValue });
    this.memory.overlay ??= true;
    this.memory.style ??= { opacity: data.opacity ?? 0.45, threshold: null, contour: false };
    this.colours = Uint8Array.from(atob(data.colours ?? ""), (letter) => letter.charCodeAt(0));
    const active = this.root.getRootNode().activeElement, benched = active && this.bench.contains(active) ? active : null;
    const focused = benched ? null : active?.closest?.("[data-pane]")?.dataset.pane;
    const before = new Map(this.panes.map((pane) => [pane.key, pane]));
    this.panes = data.panes.map((pane) => {
      // What is told as before stays as it stands, film and all.
      const told = JSON.stringify([pane, data.room, data.scale, pane.map && [data.overlayScale, data.signed]]), stands = before.get(pane.key);
      if (stands?.told === told && !pane.beside) return stands;
      const kept = this.memory.panes.get(pane.key);
      const state = kept?.hash === pane.film.hash ? kept : { hash: pane.film.hash, view: freshView(), tone: freshTone(), turn: freshTurn() };
      this.memory.panes.set(pane.key, state);
      const figure = buildPane(pane, data, send, (name) => this.act(name));
      const made = { ...pane, told, figure, box: figure.querySelector(".film"), state };
      if (stands?.source?.hash === pane.film.hash) this.putFilm(made, stands.source);
      return made;
    });
    const drawn = this.drawing && this.panes.find((pane) => pane.key === this.drawing.pane.key && pane.regionable);
    this.drawing = drawn ? { ...this.drawing, pane: drawn } : null;
    this.lead.replaceChildren(...this.panes.filter((pane) => pane.lead && !pane.beside).map((pane) => pane.figure), ...buildStrip(data, send));
    const cases = this.panes.filter((pane) => !pane.lead).map((pane) => pane.figure);
    if (cases.length !== this.rest.children.length || cases.some((one, at) => one !== this.rest.children[at])) this.rest.replaceChildren(...cases);
    this.root.hidden = !this.panes.length;
    this.root.style.setProperty("--columns", data.columns || "");
    this.root.classList.toggle("has-lead", this.panes.some((pane) => pane.lead));
    this.root.classList.toggle("two-leads", this.panes.filter((pane) => pane.lead && !pane.beside).length > 1);
    this.root.classList.toggle("full", Boolean(data.full));
    this.root.classList.toggle("board", Boolean(data.board));
    this.adoptMarks();
    this.updateRoom();
    this.toolbar.querySelector(".marking").hidden = !data.annotate;
    this.toolbar.querySelector("[data-act=region]").hidden = !data.region;
    this.toolbar.querySelector(".overlay").hidden = !this.panes.some((pane) => pane.map);
    this.toolbar.querySelector(".legend").replaceChildren(this.buildLegend());
    if (!data.region && this.memory.tool === "region") this.memory.tool = "window";
    for (const pane of this.panes) if (before.get(pane.key) !== pane) this.load(pane);
    setTimeout(() => this.guard());  // films that are kept are there by then, and no button loses its focus
    const hashes = new Set(this.panes.flatMap((pane) => [pane.film.hash, pane.map?.hash]));
    this.painter.forget(new Set(this.panes.map((pane) => pane.key)), hashes);
    if (focused) this.panes.find((pane) => pane.key === focused)?.figure.focus({ preventScroll: true });
    this.showControls();
    benched?.focus({ preventScroll: true });
  }

  leaveSubject() {
    // Another film is searched with: what she has begun on the former one ends.
    this.play(false);
    Object.assign(this, { drawing: null, marking: null, editing: null, shown: null, reported: null });
  }

  decide(name, value) {
    // A numbered list instead of single triggers: two quick clicks reach Python as two decisions, whatever it merges.
    this.report();
    if (name === "rated") value = { ...value, mapped: this.panes.some((pane) => (pane.lead || pane.key === value.pane) && this.isMapped(pane)) };
    const decisions = (this.memory.decisions ??= []);
    if (name === "annotated") decisions.splice(0, decisions.length, ...decisions.filter((one) => one.name !== name || one.pane !== value.pane));
    decisions.push({ number: Math.max(Date.now(), (decisions.at(-1)?.number ?? 0) + 1), about: this.data.about, name, ...value });
    decisions.splice(0, Math.max(0, decisions.length - 40));
    const decided = this.panes.find((pane) => pane.key === value.pane);
    if (decided) decided.told = null;  // it shows what she decided until the page says what came of it
    this.setState("decisions", [...decisions]);
  }

  async load(pane) {
    const word = pane.box.querySelector(".word") ?? element("span", { class: "word" });
    if (pane.fault) return void (word.textContent = pane.fault);
    try {
      const [film, map] = await Promise.all([loadFilm(pane.film, true), pane.map ? loadFilm(pane.map, false) : null]);
      if (this.stop.signal.aborted) return;  // the film came after its reader had gone
      this.putFilm(pane, film, map);
      this.guard();
      this.repaint();
    } catch (error) {
      pane.told = null;  // tried again with the next run
      pane.box.append(word);
      word.textContent = say("This film could not be loaded ({why}); reload the page.", { why: error.message });
    }
  }

  putFilm(pane, film, map = null) {
    const { overlayScale, signed } = this.data;
    pane.source = film;
    if (map) pane.mapSteps = { ...stepMap(map, film, overlayScale, signed), hash: map.hash, id: `${map.hash}@${overlayScale}${signed}` };
    this.showTurned(pane);
    pane.box.querySelector(".word")?.remove();
  }

  guard() {
    // Answers wait for the films: none is taken for a film that was never on the screen. True where they may be given.
    if (!this.data?.guard || this.stop.signal.aborted) return true;
    const held = document.querySelector(this.data.guard), ready = held !== null && this.panes.every((pane) => pane.pixels && (pane.steps || !pane.map));
    held?.toggleAttribute("inert", !ready);
    return ready;
  }

  repaint() {
    if (this.pending || this.stop.signal.aborted) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.paint();
    });
  }

  paint(all = false) {
    // all : also the panes that are off the screen
    const started = performance.now();
    let afresh = this.painter.lost;
    if (afresh) this.painter = new CanvasPainter();
    const ratio = window.devicePixelRatio || 1, stage = this.stage.getBoundingClientRect();
    const width = Math.round(stage.width * ratio), height = Math.round(stage.height * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      afresh = true;
    }
    const places = this.panes.map((pane) => pane.box.getBoundingClientRect());
    this.panes.forEach((pane, at) => { pane.rect = placeOn(stage, places[at], ratio); });
    const layout = JSON.stringify(this.panes.map(({ key, film, rect }) => [key, film.hash, rect]));
    if (layout !== this.layout) this.context.clearRect(0, 0, width, height);  // no film stays where another pane is
    if (layout !== this.layout || afresh) for (const pane of this.panes) pane.stamp = null;
    this.layout = layout;
    const tables = this.colours.length ? overlayTables(this.colours, this.style(), this.data.signed) : null;
    let painted = 0;
    this.panes.forEach((pane, at) => {
      const place = places[at], far = place.bottom < -200 || place.top > window.innerHeight + 200;
      if (!pane.pixels || !place.width || (far && !all)) return;
      pane.look = this.lookOf(pane, tables);
      const stamp = this.stampOf(pane, pane.rect, pane.look);
      if (stamp === null || stamp !== pane.stamp) {
        this.painter.paint(this.context, pane.key, pane.rect, pane.pixels, pane.state.view, pane.look);
        this.paintMarks(pane, this.context, pane.rect, !all);
        painted++;
      }
      pane.stamp = stamp;
      this.label(pane);
    });
    const alone = this.panes.find((pane) => pane.key === this.memory.alone);
    for (const pane of alone ? this.panes : []) if (!pane.rect.width) pane.rect = alone.rect;  // hidden and linked: moved as far
    this.paintLarge(tables);
    this.paintSecond(tables);
    this.showBench();
    if (painted) this.frames.push(performance.now() - started);
    if (this.frames.length > 600) this.frames.splice(0, 300);
    this.root.dataset.painted = String(painted);
  }

  stampOf(pane, rect, { window, invert, map, overlay }) {
    // All that a painting of a pane depends on; null with something drawn on the film, which moves under her hand.
    if (this.marksOf(pane).items.length || this.marking?.key === pane.key) return null;
    return JSON.stringify([rect, pane.pixels.hash, pane.state.view, window, invert, map?.id, overlay?.id, map && this.data.colours]);
  }

  isMapped(pane) {
    // Whether a pane stands under its map. In the room the cases have theirs only because she asked for them.
    const on = this.data.room && !pane.lead ? true : this.memory.overlay;
    return Boolean(pane.steps) && !pane.plain && on !== Boolean(this.peeking);
  }

  lookOf(pane, tables) {
    const window = windowOf(pane.pixels, this.memory.preset, pane.state.tone), mapped = this.isMapped(pane);
    return { window, invert: this.memory.invert, map: mapped ? pane.steps : null, overlay: mapped ? tables : null };
  }

  label(pane) {
    // In per cent of the greys that the film's file displays: its own window and depth have been applied before.
    const { centre, width } = pane.look.window;
    const zoom = scaleOf(pane.state.view, pane.pixels, pane.rect);
    const under = this.under?.key === pane.key ? ` · ${this.describePixel(pane)}` : "";
    pane.box.querySelector(".readout").textContent =
      `${say("Width {width} % · Level {level} %", { width: Math.round(100 * width), level: Math.round(100 * centre) })} · ${zoom >= 0.995 && zoom <= 1.005 ? "1:1" : `× ${zoom.toFixed(2)}`}${under}`;
    const box = pane.box.querySelector(".box"), place = this.placeRegion(pane);
    box.hidden = !place;
    if (!place) return;
    const ratio = window.devicePixelRatio || 1, names = ["left", "top", "width", "height"];
    names.forEach((name, i) => { box.style[name] = `${place[i] / ratio}px`; });
  }

  describePixel(pane) {
    // The grey under the pointer, in per cent like window and level, and its place on the film.
    const { width, height, max, pixels } = pane.source, [x, y] = this.under.place.map(Math.floor);
    if (x < 0 || y < 0 || x >= width || y >= height) return say("outside");
    return say("{value} at {x}, {y}", { value: formatNumber((100 * pixels[y * width + x]) / max, "%"), x, y });
  }

  placeRegion(pane, rect = pane.rect) {
    // [left, top, width, height] of a pane's region, in device pixels from the pane's corner; null without a region.
    const region = this.drawing?.pane === pane ? this.drawing.region : pane.region && this.turnBox(pane, pane.region, "toSeen");
    if (!region) return null;
    const [left, top] = filmToPane(region[0], region[1], pane.state.view, pane.pixels, rect);
    const [right, bottom] = filmToPane(region[2], region[3], pane.state.view, pane.pixels, rect);
    return [left, top, right - left, bottom - top];
  }


  style() {
    // Until the reader moves the slider, each search begins with the threshold that shows the strongest tenth of its map.
    return { ...this.memory.style, threshold: this.memory.style.threshold ?? this.data?.threshold ?? 0 };
  }

  buildLegend() {
    if (!this.colours.length) return "";
    // Words beside the colours; their values, like the rest that the legend says, on hover and in saved pictures.
    const [low, high] = this.data.ends ?? ["", ""], values = this.legendEnds().join(" … ");
    return element("span", { title: [this.data.legend, values].filter(Boolean).join("\n") }, element("span", {}, low),
      element("span", { class: "ramp", style: `background:linear-gradient(90deg,${this.legendStops().join()})` }), element("span", {}, high));
  }

  legendStops() {
    return [0, 64, 128, 192, 255].map((step) => `rgb(${this.colours.slice(3 * step, 3 * step + 3).join()})`);
  }

  legendEnds() {
    // Both ends of the colours, in words and as values of the map.
    const value = Number(this.data.overlayScale), [low, high] = this.data.ends ?? ["", ""];
    if (!value) return [low, high];
    const [digits, power] = value.toExponential(1).split("e");
    const raised = power.replace("-", "⁻").replace(/[+0-9]/g, (one) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[one] ?? "");
    const last = value < 0.001 ? `${digits} × 10${raised}` : String(Number(value.toPrecision(2)));
    return [`${low} ${this.data.signed ? `≤ −${last}` : 0}`, `≥ ${last} ${high}`];
  }

  showControls() {
    const { memory, toolbar } = this;
    const states = { invert: memory.invert, loupe: memory.loupe, link: memory.linked, overlay: memory.overlay, contour: memory.style.contour,
      measure: Boolean(memory.bench), window: memory.tool === "window", pan: memory.tool === "pan", zoom: memory.tool === "zoom", region: memory.tool === "region" };
    for (const [name, on] of Object.entries(states)) toolbar.querySelector(`[data-act=${name}]`).setAttribute("aria-pressed", String(on));
    toolbar.querySelector("[data-act=preset]").value = memory.preset;
    for (const name of ["opacity", "threshold"]) toolbar.querySelector(`[data-slider=${name}]`).value = 100 * this.style()[name];
    for (const chip of this.lead.querySelectorAll("[data-act=overlay]")) chip.setAttribute("aria-pressed", String(memory.overlay));
    this.stage.dataset.tool = memory.tool;
    if (!this.panes.some((pane) => pane.key === memory.alone)) memory.alone = null;
    this.stage.classList.toggle("one", memory.alone !== null);
    for (const pane of this.panes) {
      pane.figure.classList.toggle("chosen", pane.key === memory.chosen);
      pane.figure.classList.toggle("alone", pane.key === memory.alone);
    }
    this.repaint();
  }

  linkedPanes(pane) {
    return this.memory.linked ? this.panes.filter((one) => one.pixels && one.rect?.width) : [pane].filter((one) => one?.pixels);
  }

  pane(key = this.memory.chosen) {
    return this.panes.find((pane) => pane.key === key) ?? this.panes[0];
  }

  choose(pane, focus = false) {
    if (!pane) return;
    this.memory.chosen = pane.key;
    if (this.memory.alone !== null) this.memory.alone = pane.key;  // what is chosen is in sight
    if (focus) pane.figure.focus();
    this.showControls();
  }

  act(name, value) {
    const memory = this.memory, pane = this.pane();
    if (["window", "pan", "zoom", "region"].includes(name)) Object.assign(memory, { tool: name }), (this.marking = null);
    else if (MARKS[name] || name === "select") this.takeTool(name);
    else if (name === "measure") this.openBench(!memory.bench);
    else if (name === "turn" || name === "mirror") this.turn(pane, name);
    else if (name === "preset") memory.preset = value;
    else if (name === "invert" || name === "overlay" || name === "loupe") memory[name] = !memory[name];
    else if (name === "link") memory.linked = !memory.linked;
    else if (name === "contour") memory.style.contour = !memory.style.contour;
    else if (name === "opacity" || name === "threshold") memory.style[name] = value;
    else if (name === "fit") for (const one of this.linkedPanes(pane)) Object.assign(one.state.view, freshView());
    else if (name === "one") for (const one of this.linkedPanes(pane)) one.state.view.zoom = 1 / fitScale(one.pixels, one.rect);
    else if (name === "reset") {
      for (const one of this.linkedPanes(pane)) { Object.assign(one.state.view, freshView()); Object.assign(one.state.tone, freshTone()); }
      Object.assign(memory, { preset: "auto", invert: false });
      this.turn(pane, "upright");
    } else if (name === "alone") this.showAlone(pane);
    else if (name === "save") savePicture(this);
    else if (name === "second") this.openSecond();
    else if (name === "more") this.toolbar.classList.toggle("open");
    else if (name === "help") this.help.open ? this.help.close() : this.help.showModal();
    if (name === "loupe" && !memory.loupe) this.lens.hidden = true;
    this.showControls();
  }

  showAlone(pane) {
    const { memory } = this;
    memory.alone = memory.alone === pane.key ? null : pane.key;
    this.showControls();
    if (memory.alone !== null) this.root.scrollIntoView({ block: "start" });  // the whole film on the screen
  }

  shift(pane, dx, dy) {
    for (const one of this.linkedPanes(pane)) {
      moveView(one.state.view, (dx * one.rect.width) / pane.rect.width, (dy * one.rect.height) / pane.rect.height, one.pixels, one.rect);
    }
    this.repaint();
  }

  zoom(pane, factor, px, py) {
    for (const one of this.linkedPanes(pane)) {
      zoomView(one.state.view, factor, (px * one.rect.width) / pane.rect.width, (py * one.rect.height) / pane.rect.height, one.pixels, one.rect);
    }
    this.repaint();
  }

  tone(pane, dx, dy) {
    for (const one of this.linkedPanes(pane)) {
      one.state.tone.stretch = clamp(one.state.tone.stretch + dx / 250, -5, 2);
      one.state.tone.shift = clamp(one.state.tone.shift + dy / 400, -2, 2);
    }
    this.repaint();
  }

  peek(on) {
    if (this.peeking === on) return;
    this.peeking = on;
    this.repaint();
  }

  report() {
    // Window and zoom go to Python if the page asked for them and they are not what it was told last.
    this.flushMarks();
    if (!this.data?.report || !this.root.isConnected) return;
    const seen = this.panes.filter((pane) => pane.pixels);
    const panes = Object.fromEntries(seen.map((pane) => [pane.key, { ...windowOf(pane.pixels, this.memory.preset, pane.state.tone), ...pane.state.view, ...pane.state.turn }]));
    const view = { panes, invert: this.memory.invert, preset: this.memory.preset, ...this.style(), overlay: this.memory.overlay };
    const text = JSON.stringify(view);
    if (!seen.length || text === this.reported) return;
    this.reported = text;
    this.setState("view", view);
  }
}

Object.assign(Viewer.prototype, KEYBOARD, REGION, ROOM, TURNING, MARKING, BENCH, SECOND);

export default function (component) {
  const parent = component.parentElement;
  const root = parent.querySelector(".viewer"), { language = "" } = component.data;
  takeWords(component.data);
  if (root.viewer && root.language !== language) {
    root.viewer.close();
    root.viewer = null;
  }
  root.language = language;
  root.viewer ??= new Viewer(root, component.data.name ?? component.key);
  root.viewer.update(component);
  return () => { root.viewer?.close(); root.viewer = null; };
}
