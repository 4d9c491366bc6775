// A region of the film: drawn by pointer or keys, shown, and taken.

const LEAST_REGION = 8;  // film pixels

const REGION = {
  drawRegion(pane, from, to, byKeys = false) {
    // A box between two corners in pixels of the film as it is seen, kept on it; it is shown and not yet taken.
    const { width, height } = pane.pixels, corners = [from, to].map(([x, y]) => [clamp(x, 0, width), clamp(y, 0, height)]);
    const [[left, right], [top, bottom]] = [0, 1].map((i) => [Math.min(corners[0][i], corners[1][i]), Math.max(corners[0][i], corners[1][i])]);
    this.drawing = { pane, region: [left, top, right, bottom], byKeys };
    this.repaint();
  },

  takeRegion() {
    const { pane, region } = this.drawing;
    this.dropRegion();
    if (region[2] - region[0] < LEAST_REGION || region[3] - region[1] < LEAST_REGION) return;
    pane.region = this.turnBox(pane, region, "toFilm").map(Math.round);
    this.send("region", { pane: pane.key, box: pane.region });
  },

  dropRegion() {
    this.drawing = null;
    this.repaint();
  },

  placeBox(chosen) {
    // For the keyboard: a box of a third of the film, or of what is seen of it, in the middle of the pane.
    const pane = chosen.regionable ? chosen : this.panes.find((one) => one.regionable);
    if (!pane?.pixels) return;
    this.choose(pane, true);
    const { view } = pane.state, lengths = [pane.pixels.width, pane.pixels.height];
    const half = lengths.map((length) => length / 6 / Math.max(1, view.zoom));
    const middle = [view.x, view.y].map((share, i) => clamp(share * lengths[i], half[i], lengths[i] - half[i]));
    this.drawRegion(pane, middle.map((at, i) => at - half[i]), middle.map((at, i) => at + half[i]), true);
  },

  changeBox(key, sized) {
    const { pane, region: [left, top, right, bottom] } = this.drawing;
    if (!pane.pixels) return;
    const { width, height } = pane.pixels, step = Math.max(width, height) / 50;
    let [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
    if (sized) {
      const to = [Math.max(right + dx, left + LEAST_REGION), Math.max(bottom + dy, top + LEAST_REGION)];
      return this.drawRegion(pane, [left, top], to, true);
    }
    dx = clamp(dx, -left, width - right);
    dy = clamp(dy, -top, height - bottom);
    this.drawRegion(pane, [left + dx, top + dy], [right + dx, bottom + dy], true);
  },
};
