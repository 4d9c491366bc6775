// Where a film lies in its pane, and what grey a level becomes. A view is { zoom, x, y }: zoom 1 fits the pane, (x, y) is
// the point of the film (0 … 1) in the pane's middle. Rectangles are in device pixels.

const MIN_ZOOM = 0.25, MAX_ZOOM = 64;
const freshView = () => ({ zoom: 1, x: 0.5, y: 0.5 });
const freshTone = () => ({ shift: 0, stretch: 0 });
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function placeOn(stage, place, ratio) {
  // Of a place on the page, from the corner of the stage.
  const [left, top, width, height] = [place.left - stage.left, place.top - stage.top, place.width, place.height].map((one) => Math.round(one * ratio));
  return { left, top, width, height };
}

function fitScale(film, rect) {
  return Math.min(rect.width / film.width, rect.height / film.height);
}

function scaleOf(view, film, rect) {
  return fitScale(film, rect) * view.zoom;
}

function paneToFilm(px, py, view, film, rect) {
  const scale = scaleOf(view, film, rect);
  return [view.x * film.width + (px - rect.width / 2) / scale, view.y * film.height + (py - rect.height / 2) / scale];
}

function filmToPane(fx, fy, view, film, rect) {
  const scale = scaleOf(view, film, rect);
  return [(fx - view.x * film.width) * scale + rect.width / 2, (fy - view.y * film.height) * scale + rect.height / 2];
}

function moveView(view, dx, dy, film, rect) {
  const scale = scaleOf(view, film, rect);
  view.x = clamp(view.x - dx / (scale * film.width), -0.5, 1.5);
  view.y = clamp(view.y - dy / (scale * film.height), -0.5, 1.5);
}

function zoomView(view, factor, px, py, film, rect) {
  // Keeps the film point under (px, py) where it is.
  const [fx, fy] = paneToFilm(px, py, view, film, rect);
  view.zoom = clamp(view.zoom * factor, MIN_ZOOM, MAX_ZOOM);
  const scale = scaleOf(view, film, rect);
  view.x = (fx - (px - rect.width / 2) / scale) / film.width;
  view.y = (fy - (py - rect.height / 2) / scale) / film.height;
}

function chooseLevel(film, scale) {
  // The smallest level that still has at least one pixel for each pixel of the screen.
  let level = 0;
  while (level + 1 < film.levels.length && scale * 2 ** (level + 1) <= 1) level++;
  return level;
}

// Presets are shares of the film's own grey levels, so that films of different exposure look alike.
const PRESETS = [
  ["auto", mark("Automatic"), 0.005, 0.995],
  ["full", mark("Full range"), null, null],
  ["lungs", mark("Lungs"), 0.002, 0.72],
  ["dense", mark("Mediastinum and bones"), 0.3, 0.999],
  ["narrow", mark("High contrast"), 0.12, 0.9],
];

function windowOf(film, preset, tone) {
  const [, , low, high] = PRESETS.find(([name]) => name === preset) ?? PRESETS[0];
  const from = low === null ? 0 : film.grey.at(low), to = high === null ? 1 : film.grey.at(high);
  const base = Math.max(to - from, 0.02);
  return {
    centre: (from + to) / 2 + tone.shift * base,
    width: clamp(base * Math.exp(tone.stretch), 1 / 4096, 8),
  };
}

function greyTable(film, window_, invert) {
  // Uint8 table from a stored level to a display grey.
  const table = new Uint8ClampedArray(film.max + 1);
  const low = (window_.centre - window_.width / 2) * film.max, gain = 255 / (window_.width * film.max);
  const from = clamp(Math.floor(low), 0, film.max + 1), to = clamp(Math.ceil(low + 255 / gain) + 1, from, film.max + 1);
  for (let level = from; level < to; level++) table[level] = (level - low) * gain;
  table.fill(255, to);  // only the ramp is computed: a window is dragged through this table sixty times a second
  if (invert) for (let level = 0; level <= film.max; level++) table[level] = 255 - table[level];
  return table;
}

// Maps are shown as 256 steps of the scale that all panes share: 0 … scale, or −scale … scale where signed. The formula is
// that of icbir_core.radiograph.overlay: weight = opacity × min(1, strength / FADE) from the threshold on.
const FADE = 0.2;
const CONTOUR_LEVELS = [0.25, 0.5, 0.75];

function roundToEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

function cropLetterbox(map, film) {
  // The film's area in the network's square, as icbir_core.radiograph.network_input.Letterbox computes it.
  const side = map.width, scale = side / Math.max(film.width, film.height);
  const [width, height] = [film.width, film.height].map((length) => Math.min(side, Math.max(1, roundToEven(length * scale))));
  return { left: (side - width) >> 1, top: (side - height) >> 1, width, height };
}

function stepMap(map, film, scale, signed) {
  const { left, top, width, height } = cropLetterbox(map, film);
  const steps = new Uint8ClampedArray(width * height);
  const range = (map.high - map.low) / map.max, peak = scale > 0 ? scale : Infinity;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, from = (top + y) * map.width + left; x < width; x++, i++, from++) {
      const share = (map.low + map.pixels[from] * range) / peak;
      steps[i] = signed ? 127.5 + 127.5 * share : 255 * share;
    }
  }
  return { width, height, steps };
}

function overlayTables(colours, style, signed) {
  // fill: colour (0 … 255) and weight of each step; band: between which contours it lies; line: the colour of its contour.
  const fill = new Float32Array(256 * 4), band = new Uint8Array(256), line = new Uint8Array(256 * 3);
  const levels = style.threshold > 0 ? [style.threshold] : CONTOUR_LEVELS;
  for (let step = 0; step < 256; step++) {
    const relative = signed ? (step - 127.5) / 127.5 : step / 255, strength = Math.abs(relative);
    const weight = strength < 0.005 || strength < style.threshold ? 0 : style.opacity * Math.min(1, strength / FADE);
    fill.set([colours[3 * step], colours[3 * step + 1], colours[3 * step + 2], style.contour ? 0 : weight], 4 * step);
    const passed = levels.filter((level) => strength >= level).length;
    band[step] = passed && relative < 0 ? passed + 8 : passed;
    const bright = Math.sign(relative) * (0.4 + 0.6 * (levels[passed - 1] ?? 0));
    const at = 3 * Math.round(255 * (signed ? (bright + 1) / 2 : bright));
    line.set(colours.slice(at, at + 3), 3 * step);
  }
  return { fill, band, line, contour: style.contour ? style.opacity : 0, id: [style.opacity, style.threshold, style.contour, signed].join() };
}
