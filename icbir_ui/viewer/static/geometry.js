// Where a film lies in its pane, and what grey a level becomes. A view is { zoom, x, y }: zoom 1 fits the pane, (x, y) is
// the point of the film (0 … 1) in the pane's middle. Rectangles are in device pixels.

const MIN_ZOOM = 0.25, MAX_ZOOM = 64;
const freshView = () => ({ zoom: 1, x: 0.5, y: 0.5 });
const freshTone = () => ({ shift: 0, stretch: 0 });
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

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
  ["auto", "Automatic", 0.005, 0.995],
  ["full", "Full range", null, null],
  ["lungs", "Lungs", 0.002, 0.72],
  ["dense", "Mediastinum and bones", 0.3, 0.999],
  ["narrow", "High contrast", 0.12, 0.9],
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
  for (let level = 0; level <= film.max; level++) table[level] = (level - low) * gain;
  if (invert) for (let level = 0; level <= film.max; level++) table[level] = 255 - table[level];
  return table;
}

// Maps are shown as 256 steps of the scale that all panes share: 0 … scale, or −scale … scale (128 is zero) where signed.
function stepMap(map, scale, signed) {
  const steps = new Uint8ClampedArray(map.pixels.length);
  const range = (map.high - map.low) / map.max, peak = scale > 0 ? scale : 1;
  for (let i = 0; i < steps.length; i++) {
    const share = (map.low + map.pixels[i] * range) / peak;
    steps[i] = signed ? 128 + 127 * share : 255 * share;
  }
  return { width: map.width, height: map.height, steps };
}

function overlayTable(colours, style, signed) {
  // Float32 (256 × 4): colour (0 … 255) and opacity of each step; the weak are clear, so that the film stays readable.
  const table = new Float32Array(256 * 4);
  for (let step = 0; step < 256; step++) {
    const strength = signed ? Math.abs(step - 128) / 127 : step / 255;
    const ramp = clamp(strength / 0.35, 0, 1);
    const alpha = strength < Math.max(style.threshold, 0.02) ? 0 : style.opacity * ramp;
    table.set([colours[3 * step], colours[3 * step + 1], colours[3 * step + 2], style.contour ? 0 : alpha], 4 * step);
  }
  return table;
}

function contourStep(style) {
  return Math.max(style.threshold, 0.15);
}
