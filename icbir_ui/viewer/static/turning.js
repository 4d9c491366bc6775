// A film as it is seen: mirrored or not, then turned clockwise by quarters. The painters are given a turned copy, so that
// all they know of is a film; what is drawn on a film keeps its place on the film. As icbir_core.annotation.turning.

const TURNED = new WeakMap();
const isTurned = (turn) => Boolean(turn?.quarters || turn?.mirrored);
const isSameTurn = (one, other) => one.quarters === other.quarters && one.mirrored === other.mirrored;
const freshTurn = () => ({ quarters: 0, mirrored: false });

function turnPixels(level, { quarters, mirrored }, name) {
  const { width, height } = level, source = level[name], out = new source.constructor(source.length);
  // From (x, y) of the film to a place in the copy: start + x × across + y × down.
  const [start, across, down] = [
    [0, 1, width], [height - 1, height, -1], [width * height - 1, -1, -width], [(width - 1) * height, -height, 1],
  ][quarters];
  for (let y = 0, i = 0; y < height; y++) {
    let at = start + y * down + (mirrored ? (width - 1) * across : 0);
    const step = mirrored ? -across : across;
    for (let x = 0; x < width; x++, i++, at += step) out[at] = source[i];
  }
  return quarters % 2 ? { ...level, width: height, height: width, [name]: out } : { ...level, [name]: out };
}

function turnFilm(film, turn) {
  // The film as it is seen; the film itself where it is not turned. One copy is kept of each.
  if (!film || !isTurned(turn)) return film;
  const id = `${turn.quarters}${turn.mirrored ? "m" : ""}`, kept = TURNED.get(film);
  if (kept?.id === id) return kept.film;
  const levels = film.levels.map((level) => turnPixels(level, turn, "pixels"));
  const made = { ...film, width: levels[0].width, height: levels[0].height, pixels: levels[0].pixels, levels, hash: `${film.hash}/${id}` };
  TURNED.set(film, { id, film: made });
  return made;
}

function turnSteps(steps, turn) {
  if (!steps || !isTurned(turn)) return steps;
  const id = `${steps.id}/${turn.quarters}${turn.mirrored ? "m" : ""}`, kept = TURNED.get(steps);
  if (kept?.id === id) return kept;
  const made = { ...turnPixels(steps, turn, "steps"), id };
  TURNED.set(steps, made);
  return made;
}

function turnPoint([x, y], { quarters, mirrored }, { width, height }) {
  // From the film to where it is seen; { width, height } of the film.
  if (mirrored) x = width - x;
  for (let i = 0; i < quarters; i++) {
    [x, y] = [height - y, x];
    [width, height] = [height, width];
  }
  return [x, y];
}

function unturnPoint([x, y], { quarters, mirrored }, { width, height }) {
  // From where it is seen to the film.
  let [wide, high] = quarters % 2 ? [height, width] : [width, height];
  for (let i = 0; i < quarters; i++) {
    [x, y] = [y, wide - x];
    [wide, high] = [high, wide];
  }
  return [mirrored ? width - x : x, y];
}

const TURNING = {
  turn(pane, change) {
    // change : "turn" (by 90° clockwise), "mirror" or "upright", of this pane or of all that are linked.
    for (const one of this.linkedPanes(pane)) {
      const before = one.state.turn;
      const next = change === "upright" ? freshTurn()
        : change === "turn" ? { ...before, quarters: (before.quarters + 1) % 4 }
          : { quarters: (4 - before.quarters) % 4, mirrored: !before.mirrored };  // left and right of what is seen
      if (isSameTurn(next, before)) continue;
      this.followTurn(one, next);
      const kept = this.marksOf(one);
      Object.assign(kept, { turn: next, number: Math.max(Date.now(), kept.number + 1) });
      this.tellMarks();
    }
    this.drawing = null;
    this.showControls();
  },

  followTurn(pane, next) {
    // Turn a pane's film; what is in the middle of the pane stays there.
    const { state } = pane, before = state.turn;
    if (isSameTurn(next, before)) return;
    state.turn = next;
    if (!pane.source) return;
    const middle = unturnPoint([state.view.x * pane.pixels.width, state.view.y * pane.pixels.height], before, pane.source);
    this.showTurned(pane);
    const [x, y] = turnPoint(middle, next, pane.source);
    Object.assign(state.view, { x: x / pane.pixels.width, y: y / pane.pixels.height });
  },

  showTurned(pane) {
    const { turn } = pane.state;
    pane.pixels = turnFilm(pane.source, turn);
    pane.steps = turnSteps(pane.mapSteps, turn);
    const { quarters, mirrored } = turn, words = [mirrored ? say("mirrored") : null, quarters ? say("turned {angle}°", { angle: 90 * quarters }) : null];
    const told = pane.box.querySelector(".turned");
    told.textContent = words.filter(Boolean).join(" · ");
    told.hidden = !told.textContent;
    told.classList.toggle("mirrored", mirrored);
    const edges = ["left", "top", "right", "bottom"];
    for (const side of pane.box.querySelectorAll(".side")) {
      const first = side.dataset.side === "R" !== mirrored;  // on the film's left edge before it is turned
      side.dataset.edge = edges[((first ? 0 : 2) + quarters) % 4];
    }
  },

  toSeen(pane, point) {
    return turnPoint(point, pane.state.turn, pane.source);
  },

  toFilm(pane, point) {
    return unturnPoint(point, pane.state.turn, pane.source);
  },

  turnBox(pane, [left, top, right, bottom], by) {
    // A box between film and what is seen; by : "toSeen" or "toFilm".
    const [[x0, y0], [x1, y1]] = [[left, top], [right, bottom]].map((point) => this[by](pane, point));
    return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  },
};
