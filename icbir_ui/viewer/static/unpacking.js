// From a container to a film: every grey level, smaller copies for small pictures, and how often each grey occurs.
// Container (written by payload.py): "ICF2", header length (uint32, little endian), header as JSON, then the parts that
// the header names: the horizontally differenced grey levels, for 16 bits all high bytes and all low bytes.
// This runs in threads of the browser, so that a page with twelve large films stays quick while they arrive.

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function readContainer(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "ICF2") throw new Error("not a film container");
  const length = new DataView(buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  let at = 8 + length;
  const planes = await Promise.all(header.parts.map(({ size, packed }) => {
    const part = bytes.subarray(at, (at += size));
    return packed ? inflate(part) : part;
  }));
  const { width, height, bits, low, high } = header;
  return { width, height, bits, low, high, max: bits === 8 ? 255 : 65535, pixels: undoDifferences(planes, width, height) };
}

function undoDifferences(planes, width, height) {
  const count = width * height, [high, low] = planes;
  const pixels = low ? new Uint16Array(count) : new Uint8Array(count);
  for (let row = 0; row < count; row += width) {
    let value = 0;
    const end = row + width;
    if (low) for (let i = row; i < end; i++) pixels[i] = value = (value + ((high[i] << 8) | low[i])) & 0xffff;
    else for (let i = row; i < end; i++) pixels[i] = value = (value + high[i]) & 0xff;
  }
  return pixels;
}

function halve(level) {
  const width = Math.max(1, level.width >> 1), height = Math.max(1, level.height >> 1);
  const source = level.pixels, stride = level.width;
  const pixels = new source.constructor(width * height);
  for (let y = 0, out = 0; y < height; y++) {
    let i = 2 * y * stride;
    for (let x = 0; x < width; x++, i += 2) {
      pixels[out++] = (source[i] + source[i + 1] + source[i + stride] + source[i + stride + 1] + 2) >> 2;
    }
  }
  return { width, height, pixels };
}

function buildLevels(film) {
  // Averages of 2 × 2 for pictures smaller than the film, so that fine detail does not flicker; level 0 is the film.
  const levels = [{ width: film.width, height: film.height, pixels: film.pixels }];
  while (Math.min(levels.at(-1).width, levels.at(-1).height) > 160) levels.push(halve(levels.at(-1)));
  return levels;
}

function countGreys(film) {
  // How many pixels have each of 1,024 greys, in a level of at most a million pixels.
  const { pixels } = film.levels.find((one) => one.pixels.length <= 1e6) ?? film.levels.at(-1);
  const bins = new Uint32Array(1024), scale = 1023 / film.max, count = pixels.length;
  for (let i = 0; i < count; i++) bins[(pixels[i] * scale) | 0]++;  // by number: a film is unpacked before the loop is compiled
  return bins;
}

async function unpackFilm(buffer, withLevels) {
  const film = await readContainer(buffer);
  film.levels = withLevels ? buildLevels(film) : [film];
  film.greys = withLevels ? countGreys(film) : null;
  return film;
}

class Unpackers {
  // Threads that unpack films in turns; where the browser grants none, or one fails, the page does it itself.
  static STEPS = [inflate, readContainer, undoDifferences, halve, buildLevels, countGreys, unpackFilm];
  static MOST = 4;

  constructor() {
    const answer = async ({ data: { number, buffer, withLevels } }) => {
      try {
        const film = await unpackFilm(buffer, withLevels);
        postMessage({ number, film }, [...new Set([film, ...film.levels].map((level) => level.pixels.buffer))]);
      } catch (error) {
        postMessage({ number, error: error.message });
      }
    };
    const source = new Blob([[...Unpackers.STEPS, `onmessage = ${answer};`].join("\n")], { type: "text/javascript" });
    Object.assign(this, { waiting: new Map(), count: 0, threads: [] });
    try {
      const address = URL.createObjectURL(source), most = Math.min(Unpackers.MOST, navigator.hardwareConcurrency || 1);
      for (let i = 0; i < most; i++) this.threads.push(this.open(address));
    } catch {
      this.giveUp();
    }
  }

  open(address) {
    const thread = new Worker(address);
    thread.onerror = (event) => { event.preventDefault(); this.giveUp(); };
    thread.onmessage = ({ data: { number, film, error } }) => {
      const { resolve, reject } = this.waiting.get(number) ?? {};
      this.waiting.delete(number);
      if (film) resolve?.(film);
      else reject?.(new Error(error));
    };
    return thread;
  }

  giveUp() {
    this.threads.forEach((thread) => thread.terminate());
    this.threads = [];
    for (const { buffer, withLevels, resolve, reject } of this.waiting.values()) unpackFilm(buffer, withLevels).then(resolve, reject);
    this.waiting.clear();
  }

  unpack(buffer, withLevels) {
    if (!this.threads.length) return unpackFilm(buffer, withLevels);
    const number = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { buffer, withLevels, resolve, reject });
      this.threads[number % this.threads.length].postMessage({ number, buffer, withLevels });
    });
  }
}
