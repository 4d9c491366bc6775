// The numbers of what is drawn on a film, as icbir_core.annotation.measuring computes them: the same formulas, because
// here they follow the pointer. Points are in pixels of the film.

const MARKS = {
  length: { title: mark("Length"), key: "D", points: 2, steps: [mark("one end"), mark("the other end")] },
  angle: { title: mark("Angle"), key: "A", points: 3, steps: [mark("the end of one line"), mark("the corner"), mark("the end of the other line")] },
  ratio: { title: mark("Heart to chest"), key: "H", points: 6, steps: [mark("the midline, above"), mark("the midline, below"),
    mark("the heart's border on the left of the picture"), mark("the heart's border on the right of the picture"),
    mark("the chest's inner border on the left, where it is widest"), mark("the chest's inner border on the right")] },
  ellipse: { title: mark("Ellipse"), key: "E", points: 2, steps: [mark("one corner"), mark("the opposite corner")] },
  rectangle: { title: mark("Rectangle"), key: "X", points: 2, steps: [mark("one corner"), mark("the opposite corner")] },
  arrow: { title: mark("Arrow"), key: "V", points: 2, steps: [mark("its tail"), mark("its tip")] },
  text: { title: mark("Text"), key: "T", points: 1, steps: [mark("its place")] },
};
const DECIMALS = { mm: 1, px: 1, "mm²": 1, "px²": 0, "°": 1, "%": 1, "": 2 };
const VALUES = new WeakMap();  // an annotation never changes: a change makes another

function measureMark(one, film, spacing) {
  // [[name, number, unit], …]; film : { width, height, pixels, max }; spacing : [down, across] in millimetres or null.
  const kept = VALUES.get(one);
  if (kept) return kept;
  const [down, across] = spacing ?? [1, 1], unit = spacing ? "mm" : "px";
  const places = one.points.map(([x, y]) => [x * across, y * down]);
  let values = [];
  if (one.kind === "length") values = [["", Math.hypot(places[1][0] - places[0][0], places[1][1] - places[0][1]), unit]];
  else if (one.kind === "angle") values = [["", measureAngle(...places), "°"]];
  else if (one.kind === "ratio") {
    const [heart, chest] = measureWidths(places).map(Math.abs);
    values = [["", chest > 0 ? heart / chest : NaN, ""], [mark("heart"), heart, unit], [mark("chest"), chest, unit]];
  } else if (one.kind === "ellipse" || one.kind === "rectangle") {
    const [[left, top], [right, bottom]] = places;
    const area = Math.abs(right - left) * Math.abs(bottom - top) * (one.kind === "ellipse" ? Math.PI / 4 : 1);
    const [mean, deviation] = measureGreys(one, film);
    values = [[mark("mean"), mean, "%"], [mark("SD"), deviation, "%"], [mark("area"), area, `${unit}²`]];
  }
  VALUES.set(one, values);
  return values;
}

function measureAngle([ax, ay], [cx, cy], [bx, by]) {
  [ax, ay, bx, by] = [ax - cx, ay - cy, bx - cx, by - cy];
  if (!Math.hypot(ax, ay) || !Math.hypot(bx, by)) return NaN;
  return (Math.atan2(Math.abs(ax * by - ay * bx), ax * bx + ay * by) * 180) / Math.PI;
}

function measureWidths([[x0, y0], [x1, y1], ...borders]) {
  const long = Math.hypot(x1 - x0, y1 - y0) || NaN;
  const [right, left, innerRight, innerLeft] = borders.map(([x, y]) => ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / long);
  return [left - right, innerLeft - innerRight];
}

function measureGreys(one, film) {
  // Mean and standard deviation of the pixels whose centre lies in an ellipse or a rectangle, in per cent.
  const [[x0, y0], [x1, y1]] = one.points, [left, right, top, bottom] = [Math.min(x0, x1), Math.max(x0, x1), Math.min(y0, y1), Math.max(y0, y1)];
  const from = [Math.max(0, Math.floor(left - 0.5)), Math.max(0, Math.floor(top - 0.5))];
  const to = [Math.min(film.width, Math.ceil(right + 0.5)), Math.min(film.height, Math.ceil(bottom + 0.5))];
  const middle = [(left + right) / 2, (top + bottom) / 2], half = [(right - left) / 2, (bottom - top) / 2];
  const inside = one.kind === "rectangle"
    ? (x, y) => x >= left && x < right && y >= top && y < bottom
    : (x, y) => { const a = (x - middle[0]) / half[0], b = (y - middle[1]) / half[1]; return a * a + b * b <= 1; };
  let count = 0, sum = 0, squares = 0;
  for (let y = from[1]; y < to[1]; y++) for (let x = from[0]; x < to[0]; x++) {
    if (!inside(x + 0.5, y + 0.5)) continue;
    const level = film.pixels[y * film.width + x];  // whole numbers: the sums are exact
    count++;
    sum += level;
    squares += level * level;
  }
  if (!count) return [NaN, NaN];
  const mean = sum / count, spread = Math.max(0, squares / count - mean * mean);
  return [(100 * mean) / film.max, (100 * Math.sqrt(spread)) / film.max];
}

function formatNumber(number, unit) {
  if (Number.isNaN(number)) return "–";
  const told = number.toFixed(DECIMALS[unit]);
  return unit === "" || unit === "°" ? `${told}${unit}` : `${told} ${unit}`;
}

function describeValues(values) {
  return values.map(([name, number, unit]) => `${name && say(name)} ${formatNumber(number, unit)}`.trim()).join(", ");
}

function findFoot([x0, y0], [x1, y1], [x, y], spacing) {
  // The nearest point of the midline, at right angles in millimetres where these are known.
  const [down, across] = spacing ?? [1, 1], dx = (x1 - x0) * across, dy = (y1 - y0) * down, length = dx * dx + dy * dy;
  if (!length) return [x0, y0];
  const share = ((x - x0) * across * dx + (y - y0) * down * dy) / length;
  return [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
}

function listLines(one, spacing) {
  // The lines of an annotation, also of one that is not finished, each through two points or more.
  const { kind, points } = one;
  if (kind === "text" || points.length < 2) return [];
  if (kind === "ratio") return [points.slice(0, 2), ...points.slice(2).map((border) => [border, findFoot(points[0], points[1], border, spacing)])];
  if (kind !== "ellipse" && kind !== "rectangle") return [points];
  const [[x0, y0], [x1, y1]] = points;
  if (kind === "rectangle") return [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]];
  return [Array.from({ length: 73 }, (_, step) => {
    const at = (2 * Math.PI * step) / 72;
    return [(x0 + x1) / 2 + ((x1 - x0) / 2) * Math.cos(at), (y0 + y1) / 2 + ((y1 - y0) / 2) * Math.sin(at)];
  })];
}
