// Painting without a graphics processor. Grey levels are sampled once for a view; windowing afterwards is a table look-up.

class CanvasPainter {
  constructor() {
    this.kind = "canvas";
    this.samples = new Map();
  }

  forget(keys) {
    for (const key of this.samples.keys()) if (!keys.has(key)) this.samples.delete(key);
  }

  sample(key, film, view, rect, map) {
    const signature = [film.hash, rect.width, rect.height, view.zoom, view.x, view.y, map?.id].join();
    const kept = this.samples.get(key);
    if (kept?.signature === signature) return kept;
    const scale = scaleOf(view, film, rect), number = chooseLevel(film, scale), level = film.levels[number];
    const columns = this.axis(rect.width, view.x * film.width, scale, film.width, level.width);
    const rows = this.axis(rect.height, view.y * film.height, scale, film.height, level.height);
    const made = { signature, columns, rows, levels: this.interpolate(level.pixels, level.width, columns, rows) };
    if (map) {
      const across = this.axis(rect.width, view.x * film.width, scale, film.width, map.width);
      const down = this.axis(rect.height, view.y * film.height, scale, film.height, map.height);
      made.steps = this.interpolate(map.steps, map.width, across, down);
    }
    this.samples.set(key, made);
    return made;
  }

  axis(length, middle, scale, filmLength, sourceLength) {
    // For the screen pixels [from, to) that lie on the film: the source pixel before each and the weight of the next.
    const origin = middle - length / 2 / scale;
    const from = clamp(Math.ceil(-origin * scale - 0.5), 0, length);
    const to = clamp(Math.ceil((filmLength - origin) * scale - 0.5), from, length);
    const first = new Int32Array(to - from), second = new Int32Array(to - from), weight = new Float32Array(to - from);
    const ratio = sourceLength / filmLength;
    for (let i = from; i < to; i++) {
      const at = clamp((origin + (i + 0.5) / scale) * ratio - 0.5, 0, sourceLength - 1);
      first[i - from] = at | 0;
      second[i - from] = Math.min((at | 0) + 1, sourceLength - 1);
      weight[i - from] = at - (at | 0);
    }
    return { from, to, first, second, weight };
  }

  interpolate(source, stride, columns, rows) {
    const width = columns.to - columns.from, height = rows.to - rows.from;
    const out = new Uint16Array(width * height);
    for (let y = 0, i = 0; y < height; y++) {
      const upper = rows.first[y] * stride, lower = rows.second[y] * stride, down = rows.weight[y];
      for (let x = 0; x < width; x++, i++) {
        const a = columns.first[x], b = columns.second[x], across = columns.weight[x];
        const top = source[upper + a] + (source[upper + b] - source[upper + a]) * across;
        const bottom = source[lower + a] + (source[lower + b] - source[lower + a]) * across;
        out[i] = top + (bottom - top) * down + 0.5;
      }
    }
    return out;
  }

  paint(context, key, rect, film, view, look) {
    if (rect.width < 1 || rect.height < 1) return;
    const made = this.sample(key, film, view, rect, look.map);
    if (made.image?.width !== rect.width || made.image?.height !== rect.height) {
      made.image = new ImageData(rect.width, rect.height);
      made.words = new Uint32Array(made.image.data.buffer);
      made.words.fill(0xff000000);
    }
    const table = greyTable(film, look.window, look.invert);
    const blended = made.steps && look.overlay;
    const { columns, rows, words, levels } = made, width = columns.to - columns.from;
    for (let y = 0; y < rows.to - rows.from; y++) {
      let out = (y + rows.from) * rect.width + columns.from, i = y * width;
      if (!blended) for (const end = i + width; i < end; i++) words[out++] = 0xff000000 | (table[levels[i]] * 0x010101);
      else this.blendRow(made, look, table, y, width, out);
    }
    context.putImageData(made.image, rect.left, rect.top);
  }

  blendRow(made, look, table, y, width, out) {
    const { steps, levels, words } = made, { fill, band, line, contour } = look.overlay;
    const above = y > 0 ? width : 0;
    for (let x = 0, i = y * width; x < width; x++, i++, out++) {
      const step = steps[i], grey = table[levels[i]];
      let red = fill[4 * step], green = fill[4 * step + 1], blue = fill[4 * step + 2], alpha = fill[4 * step + 3];
      if (contour) {
        const left = x > 0 ? steps[i - 1] : step, up = steps[i - above];
        if (band[step] === band[left] && band[step] === band[up]) alpha = 0;
        else {
          const inner = [step, left, up].reduce((a, b) => ((band[b] & 7) > (band[a] & 7) ? b : a));
          red = line[3 * inner], green = line[3 * inner + 1], blue = line[3 * inner + 2], alpha = contour;
        }
      }
      const rest = grey * (1 - alpha) + 0.5;
      words[out] = 0xff000000 | ((rest + blue * alpha) << 16) | ((rest + green * alpha) << 8) | (rest + red * alpha);
    }
  }
}
