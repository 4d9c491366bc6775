// The picture that leaves the page: films with what stands on them, their titles, the colours and the notice. A title
// never holds the name of an uploaded file.

const REGION_COLOUR = "#ffd479";  // that of .box in viewer.css
const GROUND = "#0b0d10", INK = "#e8edf2", PLATE = "rgb(11 13 16 / 80%)";
const GAP = 8, STRIP = 26, MARGIN = 6, LINE = 20;  // CSS pixels
const FULL_ENOUGH = 0.7;  // of a picture that keeps the page's layout
const WIDEST = 2.6;

function findVisible(pane) {
  // What of a pane its film covers: { left, top, width, height } in device pixels of the stage.
  const { rect, pixels, state } = pane;
  const [left, top] = filmToPane(0, 0, state.view, pixels, rect).map((at) => Math.max(0, Math.round(at)));
  const [right, bottom] = filmToPane(pixels.width, pixels.height, state.view, pixels, rect).map(Math.round);
  return { left: rect.left + left, top: rect.top + top, width: Math.max(1, Math.min(rect.width, right) - left), height: Math.max(1, Math.min(rect.height, bottom) - top) };
}

function packRows(parts, most, gap, strip) {
  // The parts one after another in rows of at most so many pixels: [[part, left, top], …], width and height.
  const placed = [];
  let left = 0, top = 0, high = 0, width = 0;
  for (const part of parts) {
    if (left && left + part.width > most) [left, top, high] = [0, top + high + strip + gap, 0];
    placed.push([part, left, top]);
    left += part.width + gap;
    high = Math.max(high, part.height);
    width = Math.max(width, left - gap);
  }
  return { placed, width, height: top + high + strip };
}

function arrangePanes(panes, ratio) {
  // As they stand on the page where that leaves little black, else in the rows that leave least.
  const measure = (layout, parts) => parts.reduce((sum, one) => sum + one.width * one.height, 0) / (layout.width * layout.height);
  const strip = STRIP * ratio, gap = GAP * ratio, films = panes.map((pane) => ({ pane, ...findVisible(pane) }));
  const whole = panes.map((pane) => ({ pane, ...pane.rect }));
  const page = {
    placed: whole.map((one) => [one, one.left, one.top]), width: Math.max(...whole.map((one) => one.left + one.width)),
    height: Math.max(...whole.map((one) => one.top + one.height)) + strip,
  };
  if (measure(page, films) >= FULL_ENOUGH) return page;
  const widths = films.map((_, count) => films.slice(0, count + 1).reduce((sum, one) => sum + one.width + gap, -gap));
  const layouts = widths.map((most) => packRows(films, most, gap, strip));
  const upright = layouts.filter((one) => one.width <= WIDEST * one.height);
  const score = (one) => measure(one, films);
  return (upright.length ? upright : layouts).reduce((best, one) => (score(one) > score(best) ? one : best));
}

function wrapText(pen, text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (pen.measureText(longer).width > most && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.filter(Boolean);
}

function cutText(pen, text, most) {
  let shown = text;
  while (shown && pen.measureText(shown === text ? text : `${shown}…`).width > most) shown = shown.slice(0, -1);
  return shown === text ? text : `${shown}…`;
}

function writeOnPlate(pen, text, x, y, ratio, right = false) {
  // Light letters on a dark plate, to be read on a white film too.
  const width = pen.measureText(text).width + 8 * ratio, left = right ? x - width : x;
  pen.fillStyle = PLATE;
  pen.fillRect(left, y - 18 * ratio, width, 20 * ratio);
  pen.fillStyle = INK;
  pen.fillText(text, left + 4 * ratio, y - 3 * ratio);
}

function strokeRegion(pen, { left, top, width, height }, place, ratio) {
  // A region on a film that lies here, cut off where the film ends. place : its left, top, width and height from the film's corner.
  if (!place) return;
  pen.save();
  pen.beginPath();
  pen.rect(left, top, width, height);
  pen.clip();
  pen.strokeStyle = REGION_COLOUR;
  pen.lineWidth = 1.5 * ratio;
  pen.strokeRect(left + place[0], top + place[1], place[2], place[3]);
  pen.restore();
}

function hideText(pen, viewer, part, left, top, ratio) {
  // Text that is burned into a film does not leave: what was framed is black, and without a frame the film is.
  const { pane, width, height } = part, frames = viewer.marksOf(pane).items.filter((one) => one.kind === "rectangle");
  pen.fillStyle = "#000";
  if (!frames.length) {
    pen.fillRect(left, top, width, height);
    pen.fillStyle = INK;
    wrapText(pen, viewer.data.leftOff, width - 2 * MARGIN * ratio).forEach((text, at) => pen.fillText(text, left + MARGIN * ratio, top + (LINE * at + 24) * ratio));
  }
  const place = (point) => filmToPane(...viewer.toSeen(pane, point), pane.state.view, pane.pixels, pane.rect);
  for (const { points: [[x0, y0], [x1, y1]] } of frames) {
    const corners = [[Math.floor(Math.min(x0, x1)), Math.floor(Math.min(y0, y1))], [Math.ceil(Math.max(x0, x1)), Math.ceil(Math.max(y0, y1))]].map(place);
    const [a, b] = [0, 1].map((i) => [Math.min(corners[0][i], corners[1][i]), Math.max(corners[0][i], corners[1][i])]);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.fillRect(Math.floor(left + a[0] + pane.rect.left - part.left), Math.floor(top + b[0] + pane.rect.top - part.top), Math.ceil(a[1] - a[0]) + 1, Math.ceil(b[1] - b[0]) + 1);
    pen.restore();
  }
}

function drawPane(pen, viewer, part, left, top, ratio) {
  const { pane, width, height } = part, inset = MARGIN * ratio, bottom = top + height - 4 * ratio;
  pen.drawImage(viewer.canvas, part.left, part.top, width, height, left, top, width, height);
  if (pane.burned) hideText(pen, viewer, part, left, top, ratio);
  const [across, down, wide, high] = viewer.placeRegion(pane) ?? [];
  if (wide) strokeRegion(pen, { left, top, width, height }, [across + pane.rect.left - part.left, down + pane.rect.top - part.top, wide, high], ratio);
  const { quarters, mirrored } = pane.state.turn, [first, last] = quarters === 2 !== mirrored ? ["L", "R"] : ["R", "L"];
  if (pane.orientation === "verified" && quarters % 2) {
    const [above, below] = quarters === 3 !== mirrored ? ["L", "R"] : ["R", "L"];
    writeOnPlate(pen, above, left + width / 2, top + 24 * ratio, ratio);
    writeOnPlate(pen, below, left + width / 2, bottom, ratio);
  } else if (pane.orientation === "verified") {
    writeOnPlate(pen, first, left + inset, bottom, ratio);
    writeOnPlate(pen, last, left + width - inset, bottom, ratio, true);
  } else writeOnPlate(pen, cutText(pen, say("orientation unverified"), width - 2 * inset), left + inset, bottom, ratio);
  const turned = pane.box.querySelector(".turned").textContent;
  if (turned) writeOnPlate(pen, cutText(pen, mirrored ? turned.toUpperCase() : turned, width - 2 * inset), left + inset, top + 22 * ratio, ratio);
  pen.fillStyle = INK;
  pen.fillText(cutText(pen, pane.title, width - inset), left + inset / 2, top + height + 18 * ratio);
}

function drawFoot(pen, viewer, notes, picture, ratio) {
  // What the colours mean, with both ends and the ramp, then the notice.
  let line = picture.height - (notes.length * LINE + MARGIN / 2) * ratio;
  const inset = MARGIN * ratio, long = 160 * ratio;
  if (notes.ramp) {
    const ramp = pen.createLinearGradient(inset, 0, inset + long, 0);
    viewer.legendStops().forEach((colour, at, all) => ramp.addColorStop(at / (all.length - 1), colour));
    pen.fillStyle = ramp;
    pen.fillRect(inset, line - LINE * ratio + 4 * ratio, long, 12 * ratio);
  }
  pen.fillStyle = INK;
  for (const text of notes) pen.fillText(text, inset, (line += LINE * ratio) - 5 * ratio);
}

function composePicture(viewer) {
  // A canvas with the picture; null where no film is there.
  viewer.paint(true);
  const ratio = window.devicePixelRatio || 1, panes = viewer.panes.filter((one) => one.pixels && one.rect?.width);
  if (!panes.length) return null;
  const layout = arrangePanes(panes, ratio), picture = element("canvas"), pen = picture.getContext("2d");
  const font = `${14 * ratio}px sans-serif`, width = Math.max(layout.width, 260 * ratio);
  pen.font = font;
  const fit = (text) => wrapText(pen, text, width - 2 * MARGIN * ratio), notes = [];
  if (viewer.colours.length && panes.some((one) => viewer.isMapped(one))) {
    const [low, high] = viewer.legendEnds();
    notes.push(...fit(`${low} … ${high}  ·  ${viewer.data.legend ?? ""}`));
    notes.ramp = true;
  }
  notes.push(...fit(viewer.data.notice ?? ""));
  picture.width = Math.round(width);
  picture.height = Math.round(layout.height + ((notes.length + (notes.ramp ? 1 : 0)) * LINE + MARGIN) * ratio);
  Object.assign(pen, { font, fillStyle: GROUND });
  pen.fillRect(0, 0, picture.width, picture.height);
  for (const [part, left, top] of layout.placed) drawPane(pen, viewer, part, left, top, ratio);
  drawFoot(pen, viewer, notes, picture, ratio);
  return picture;
}

function savePicture(viewer) {
  composePicture(viewer)?.toBlob((blob) => {
    const now = new Date(), day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((one) => String(one).padStart(2, "0")).join("-");
    const link = element("a", { href: URL.createObjectURL(blob), download: `icbir-${day}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  });
}
