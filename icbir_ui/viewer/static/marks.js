// What a reader draws on films: kept by film for all viewers of the page, told to Python when the hand rests, drawn on the
// canvas, changed by hand and keys. A change makes new items and never alters one, so that undo is the list before.

const MARK_STORE = (globalThis[Symbol.for("icbir.marks")] ??= { window: null, films: new Map() });
const MARK_COLOUR = "#8ef0b0", MARK_CHOSEN = "#ffffff", MARK_FONT = "12.5px sans-serif";
const REACH = 8, LABELLED = 260;  // CSS pixels: how near a press must be; panes narrower than this carry no words
const RESTS = 700;  // milliseconds without a change before Python is told
const MOST_MARKS = 100;
const MOST_STEPS = 30;
const PLACED = {  // by keys: shares of a sixth of what is seen, from its middle
  length: [[-1, 0], [1, 0]], angle: [[-1, -0.6], [0, 0.6], [1, -0.6]], ellipse: [[-0.7, -0.7], [0.7, 0.7]], rectangle: [[-0.7, -0.7], [0.7, 0.7]],
  ratio: [[0, -1.5], [0, 1.5], [-0.5, 0.5], [0.9, 0.5], [-1.6, 0], [1.6, 0]], arrow: [[-1, 0.7], [0, 0]], text: [[0, 0]],
};

const MARKING = {
  marksOf(pane) {
    const { films } = MARK_STORE, hash = pane.film.hash;
    if (!films.has(hash)) films.set(hash, { items: [], undo: [], redo: [], turn: freshTurn(), number: 0, told: 0 });
    return films.get(hash);
  },

  adoptMarks() {
    // What Python holds counts where it is later than what is here: after a reload. Another reader finds nothing.
    if (MARK_STORE.window !== this.data.window) Object.assign(MARK_STORE, { window: this.data.window, films: new Map() });
    for (const pane of this.panes) {
      const kept = this.marksOf(pane), given = pane.annotations;
      if (given && given.number > kept.number) Object.assign(kept, { undo: [], redo: [], turn: freshTurn(), ...given, told: given.number });
      if (this.data.annotate) this.followTurn(pane, kept.turn);  // also where it was turned in another viewer
      if (kept.number > kept.told) this.tellMarks();
    }
    if (this.marking && !this.panes.some((pane) => pane.key === this.marking.key)) this.marking = null;
  },

  changeMarks(pane, items, before = this.marksOf(pane).items) {
    const kept = this.marksOf(pane);
    kept.undo = [...kept.undo, before].slice(-MOST_STEPS);
    Object.assign(kept, { items, redo: [], number: Math.max(Date.now(), kept.number + 1) });
    this.tellMarks();
    this.repaint();
  },

  stepMarks(pane, from, to) {
    // "undo" → "redo", or back.
    const kept = this.marksOf(pane);
    if (!kept[from].length) return;
    kept[to].push(kept.items);
    Object.assign(kept, { items: kept[from].pop(), number: Math.max(Date.now(), kept.number + 1) });
    this.chooseMark(null);
    this.tellMarks();
  },

  tellMarks() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => (this.marking || this.editing || this.isWriting() ? this.tellMarks() : this.flushMarks()), RESTS);
  },

  flushMarks() {
    if (!this.root.isConnected || !this.data?.annotate) return;
    for (const pane of this.panes) {
      const kept = this.marksOf(pane);
      if (kept.number <= kept.told) continue;
      kept.told = kept.number;
      const { number, items, undo, redo, turn } = kept;
      this.send("annotated", { pane: pane.key, drawn: { number, items, undo, redo, turn } });
    }
  },

  isWriting() {
    return this.bench.contains(this.root.getRootNode().activeElement) && this.root.getRootNode().activeElement.matches("input");
  },

  // ---- by hand

  pressMark(pane, point) {
    // True where the press belongs to what is drawn. point : device pixels from the pane's corner.
    if (!this.data.annotate || !pane.source) return false;
    const { tool } = this.memory, place = this.placeOnFilm(pane, point);
    if (this.marking?.key === pane.key) {
      Object.assign(this.marking, { hover: place, pressed: point });
      return true;
    }
    this.marking = null;
    const hit = MARKS[tool] || tool === "select" ? this.findMark(pane, point) : null;
    if (hit && (tool === "select" || (hit.grip && hit.index === this.chosenMark(pane)))) {
      this.chooseMark(pane, hit.index, hit.part === "all" ? this.memory.grip : hit.part);
      this.editing = { key: pane.key, ...hit, from: place, before: this.marksOf(pane).items };
      return true;
    }
    this.chooseMark(null);
    if (!MARKS[tool] || this.marksOf(pane).items.length >= MOST_MARKS) return false;
    this.marking = { key: pane.key, kind: tool, points: [place], hover: place, pressed: point, first: true };
    if (MARKS[tool].points === 1) this.finishMark(pane);
    this.repaint();
    return true;
  },

  moveMark(pane, point) {
    const place = this.placeOnFilm(pane, point);
    if (this.marking?.key === pane.key) this.marking.hover = place;
    else if (this.editing?.key === pane.key) {
      const { index, part, from, before } = this.editing, moved = this.shiftMark(pane, before[index], part, place[0] - from[0], place[1] - from[1]);
      this.marksOf(pane).items = before.with(index, moved);
    }
    this.repaint();
  },

  releaseMark(pane, point) {
    if (this.editing) {
      const { before, index } = this.editing, { items } = this.marksOf(pane);
      this.editing = null;
      if (items !== before && JSON.stringify(items[index]) !== JSON.stringify(before[index])) this.changeMarks(pane, items, before);
      return;
    }
    const { marking } = this;
    if (!marking) return;
    const dragged = Math.hypot(point[0] - marking.pressed[0], point[1] - marking.pressed[1]) > 4 * (window.devicePixelRatio || 1);
    if (!marking.first || dragged) marking.points = [...marking.points, this.placeOnFilm(pane, point)];
    Object.assign(marking, { first: false, pressed: null });
    if (marking.points.length >= MARKS[marking.kind].points) this.finishMark(pane);
    this.repaint();
  },

  finishMark(pane) {
    const { kind, points } = this.marking, { items } = this.marksOf(pane);
    this.marking = null;
    this.changeMarks(pane, [...items, { kind, points, text: "" }]);
    this.chooseMark(pane, items.length, points.length - 1);
    if (kind === "text") setTimeout(() => this.bench.querySelector("input").focus());
  },

  placeOnFilm(pane, point) {
    const { width, height } = pane.source, [x, y] = this.toFilm(pane, paneToFilm(...point, pane.state.view, pane.pixels, pane.rect));
    return [Math.round(100 * clamp(x, 0, width)) / 100, Math.round(100 * clamp(y, 0, height)) / 100];
  },

  shiftMark(pane, one, part, dx, dy) {
    // A copy that is moved by so many film pixels, whole or by one of its points, and stays on the film.
    const { width, height } = pane.source, chosen = part === "all" ? one.points : [one.points[part]];
    const [xs, ys] = [chosen.map(([x]) => x), chosen.map(([, y]) => y)];
    dx = clamp(dx, -Math.min(...xs), width - Math.max(...xs));
    dy = clamp(dy, -Math.min(...ys), height - Math.max(...ys));
    const moved = ([x, y]) => [Math.round(100 * (x + dx)) / 100, Math.round(100 * (y + dy)) / 100];
    return { ...one, points: one.points.map((point, at) => (part === "all" || at === part ? moved(point) : point)) };
  },

  findMark(pane, [px, py]) {
    // The annotation under a place of the pane: { index, part, grip }, part a point's number or "all", grip on a point.
    const reach = REACH * (window.devicePixelRatio || 1), items = this.marksOf(pane).items, chosen = this.chosenMark(pane);
    const seen = (point) => filmToPane(...this.toSeen(pane, point), pane.state.view, pane.pixels, pane.rect);
    const order = items.map((_, at) => at).reverse().sort((a, b) => (b === chosen) - (a === chosen));
    for (const index of order) {
      const part = items[index].points.findIndex((point) => Math.hypot(...seen(point).map((at, i) => at - [px, py][i])) <= reach);
      if (part >= 0) return { index, part: items[index].points.length === 1 ? "all" : part, grip: true };
    }
    const near = ([ax, ay], [bx, by]) => {
      const long = (bx - ax) ** 2 + (by - ay) ** 2, share = long ? clamp(((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / long, 0, 1) : 0;
      return Math.hypot(px - ax - share * (bx - ax), py - ay - share * (by - ay)) <= reach;
    };
    for (const index of order) {
      const lines = listLines(items[index], pane.spacing).map((line) => line.map(seen));
      if (lines.some((line) => line.some((point, at) => at && near(line[at - 1], point)))) return { index, part: "all" };
      const label = pane.labels?.[index];
      if (label && px >= label[0] && px <= label[0] + label[2] && py >= label[1] && py <= label[1] + label[3]) return { index, part: "all" };
    }
    return null;
  },

  // ---- by keys and by the list

  chosenMark(pane) {
    const { mark } = this.memory;
    return mark && mark.hash === pane?.film.hash && this.marksOf(pane).items[mark.index] ? mark.index : null;
  },

  chooseMark(pane, index = null, grip = 0) {
    this.memory.mark = pane && index !== null ? { hash: pane.film.hash, index } : null;
    this.memory.grip = typeof grip === "number" ? grip : 0;
    this.repaint();
  },

  takeTool(kind) {
    // A tool; taken a second time, one is placed in the middle of what is seen, for the keyboard.
    const { memory } = this, pane = this.pane();
    if (memory.tool === kind && MARKS[kind] && pane?.source && !this.marking) this.placeMark(pane, kind);
    this.marking = null;
    memory.tool = kind;
    this.openBench(true);
  },

  placeMark(pane, kind) {
    const { view } = pane.state, sides = [pane.pixels.width, pane.pixels.height], unit = Math.min(...sides) / 6 / Math.max(1, view.zoom);
    const middle = [clamp(view.x, 0, 1) * sides[0], clamp(view.y, 0, 1) * sides[1]];
    const points = PLACED[kind].map((share) => {
      const [x, y] = this.toFilm(pane, share.map((one, i) => clamp(middle[i] + one * unit, 0, sides[i])));
      return [Math.round(100 * x) / 100, Math.round(100 * y) / 100];
    });
    this.choose(pane, true);
    this.marking = { kind, points };
    this.finishMark(pane);
  },

  pushMark(pane, key, onePoint) {
    const index = this.chosenMark(pane), { items } = this.marksOf(pane), step = Math.max(1, 2 / scaleOf(pane.state.view, pane.pixels, pane.rect));
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
    const [from, to] = [[0, 0], by].map((point) => this.toFilm(pane, point));
    const part = onePoint ? Math.min(this.memory.grip, items[index].points.length - 1) : "all";
    this.changeMarks(pane, items.with(index, this.shiftMark(pane, items[index], part, to[0] - from[0], to[1] - from[1])));
  },

  dropMark(pane, index = this.chosenMark(pane)) {
    if (index === null) return;
    this.changeMarks(pane, this.marksOf(pane).items.toSpliced(index, 1));
    this.chooseMark(null);
  },

  writeMark(text) {
    const pane = this.pane(), index = this.chosenMark(pane), { items } = this.marksOf(pane);
    if (index !== null && items[index].text !== text) this.changeMarks(pane, items.with(index, { ...items[index], text }));
  },

  findMarkKey(event, pane, key, arrow) {
    // What a key does to what is drawn, as a function; null where it does nothing to it.
    if (!this.data.annotate || !pane?.source) return null;
    if (event.ctrlKey || event.metaKey) {
      if (event.altKey || !["z", "y"].includes(key)) return null;
      const again = key === "y" || event.shiftKey;
      return () => this.stepMarks(pane, again ? "redo" : "undo", again ? "undo" : "redo");
    }
    const index = this.chosenMark(pane);
    if (event.key === "Escape" && this.marking) return () => { this.marking = null; this.repaint(); };
    if (event.key === "Escape" && index !== null) return () => this.chooseMark(null);
    if (event.key === "Escape" && (MARKS[this.memory.tool] || this.memory.tool === "select")) return () => this.act("window");
    if (index !== null && arrow) return () => this.pushMark(pane, event.key, event.shiftKey);
    if (index !== null && (event.key === "Delete" || event.key === "Backspace")) return () => this.dropMark(pane);
    if (index !== null && key === "g") return () => this.chooseMark(pane, index, (this.memory.grip + 1) % this.marksOf(pane).items[index].points.length);
    const kind = Object.keys(MARKS).find((one) => MARKS[one].key.toLowerCase() === key) ?? (key === "s" ? "select" : null);
    return kind && !event.shiftKey ? () => this.takeTool(kind) : null;
  },

  // ---- on the canvas

  paintMarks(pane, context, rect, handles = true) {
    if (!this.data.annotate || !pane.source) return;
    const { items } = this.marksOf(pane), { marking } = this, ratio = window.devicePixelRatio || 1;
    const begun = marking?.key === pane.key ? { kind: marking.kind, points: [...marking.points, marking.hover].slice(0, MARKS[marking.kind].points), text: "" } : null;
    pane.labels = {};
    if (!items.length && !begun) return;
    const place = (point) => filmToPane(...this.toSeen(pane, point), pane.state.view, pane.pixels, rect).map((at, i) => at + (i ? rect.top : rect.left));
    context.save();
    context.beginPath();
    context.rect(rect.left, rect.top, rect.width, rect.height);
    context.clip();
    Object.assign(context, { lineJoin: "round", lineCap: "round", font: `${MARK_FONT.replace("12.5", 12.5 * ratio)}`, textBaseline: "top" });
    [...items, ...(begun ? [begun] : [])].forEach((one, index) => {
      const chosen = one !== begun && handles && index === this.chosenMark(pane), colour = chosen || one === begun ? MARK_CHOSEN : MARK_COLOUR;
      const lines = listLines(one, pane.spacing).map((line) => line.map(place));
      if (one.kind === "arrow" && lines.length) lines.push(arrowHead(...lines[0], 11 * ratio));
      for (const [stroke, width] of [["#000000b0", 3.5], [colour, 1.5]]) {
        Object.assign(context, { strokeStyle: stroke, lineWidth: width * ratio });
        lines.forEach((line, at) => {
          context.setLineDash(one.kind === "ratio" && !at ? [6 * ratio, 4 * ratio] : []);
          context.beginPath();
          line.forEach((point, i) => context[i ? "lineTo" : "moveTo"](...point));
          context.stroke();
        });
      }
      context.setLineDash([]);
      if (chosen) one.points.map(place).forEach(([x, y], at) => {
        context.fillStyle = at === this.memory.grip ? REGION_COLOUR : MARK_CHOSEN;
        context.fillRect(x - 3 * ratio, y - 3 * ratio, 6 * ratio, 6 * ratio);
      });
      if (rect.width >= LABELLED * ratio) this.labelMark(pane, context, rect, one, index, place(one.points.at(-1)), colour);
    });
    context.restore();
  },

  labelMark(pane, context, rect, one, index, [x, y], colour) {
    const ratio = window.devicePixelRatio || 1, whole = one.points.length === MARKS[one.kind].points;
    const values = whole ? measureMark(one, pane.source, pane.spacing) : [], first = one.kind === "ratio" ? values.slice(0, 1) : values;
    const text = [one.text, describeValues(first)].filter(Boolean).join(": ") || (one.kind === "text" ? "…" : "");
    if (!text) return;
    const width = context.measureText(text).width, high = 15 * ratio;
    const left = clamp(x + 8 * ratio, rect.left + 2, Math.max(rect.left + 2, rect.left + rect.width - width - 4 * ratio));
    const top = clamp(y + 4 * ratio, rect.top + 2, Math.max(rect.top + 2, rect.top + rect.height - high));
    Object.assign(context, { strokeStyle: "#000000", lineWidth: 3 * ratio, fillStyle: colour });
    context.strokeText(text, left, top);
    context.fillText(text, left, top);
    pane.labels[index] = [left - rect.left, top - rect.top, width, high];
  },
};

function arrowHead([x0, y0], [x1, y1], long) {
  const at = Math.atan2(y1 - y0, x1 - x0), arm = (by) => [x1 - long * Math.cos(at + by), y1 - long * Math.sin(at + by)];
  return [arm(0.4), [x1, y1], arm(-0.4)];
}
