// Films and maps: fetched once by their hash, decoded to full depth, kept for the life of the page.
// Container (written by payload.py): "ICF1", header length (uint32, little endian), header as JSON, zlib stream of the
// horizontally differenced grey levels (16-bit: all high bytes, then all low bytes).

const FILM_STORE = (globalThis[Symbol.for("icbir.films")] ??= { entries: new Map(), fetched: 0, clock: 0 });
const FILM_STORE_LIMIT = 900e6;

function resolveMedia(url) {
  // Streamlit hands out "/media/…", seen from its base path; a page's own path is one level below it.
  return /^[a-z]+:/i.test(url) ? url : new URL(url.replace(/^\//, ""), document.baseURI).href;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function decodeFilm(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "ICF1") throw new Error("not a film container");
  const length = new DataView(buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const { width, height, bits } = header;
  const raw = await inflate(bytes.subarray(8 + length));
  const count = width * height;
  const pixels = bits === 8 ? new Uint8Array(count) : new Uint16Array(count);
  for (let y = 0; y < height; y++) {
    let value = 0;
    for (let i = y * width, end = i + width; i < end; i++) {
      value += bits === 8 ? raw[i] : (raw[i] << 8) | raw[i + count];
      value &= bits === 8 ? 0xff : 0xffff;
      pixels[i] = value;
    }
  }
  return { width, height, bits, max: bits === 8 ? 255 : 65535, low: header.low, high: header.high, pixels };
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

function measureFilm(film) {
  // Grey levels (0 … 1) at percentiles, from a level of at most a million pixels.
  const level = film.levels.find((one) => one.pixels.length <= 1e6) ?? film.levels.at(-1);
  const bins = new Uint32Array(1024), scale = 1023 / film.max;
  for (const value of level.pixels) bins[(value * scale) | 0]++;
  const at = (share) => {
    let left = share * level.pixels.length, bin = 0;
    while (bin < 1023 && (left -= bins[bin]) > 0) bin++;
    return bin / 1023;
  };
  return { at };
}

function dropOldFilms() {
  let total = 0;
  for (const entry of FILM_STORE.entries.values()) total += entry.bytes;
  const unused = [...FILM_STORE.entries].filter(([, entry]) => entry.bytes).sort((a, b) => a[1].used - b[1].used);
  for (const [hash, entry] of unused) {
    if (total <= FILM_STORE_LIMIT) break;
    total -= entry.bytes;
    FILM_STORE.entries.delete(hash);
  }
}

function loadFilm(source, withLevels) {
  // Returns a promise of the decoded film; the same hash is never fetched twice while it is kept.
  const kept = FILM_STORE.entries.get(source.hash);
  if (kept) {
    kept.used = ++FILM_STORE.clock;
    return kept.promise;
  }
  const entry = { used: ++FILM_STORE.clock, bytes: 0 };
  entry.promise = (async () => {
    FILM_STORE.fetched++;
    const answer = await fetch(resolveMedia(source.url), { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const film = await decodeFilm(await answer.arrayBuffer());
    film.hash = source.hash;
    film.levels = withLevels ? buildLevels(film) : [film];
    film.grey = withLevels ? measureFilm(film) : null;
    entry.bytes = film.pixels.byteLength * 1.34;
    dropOldFilms();
    return film;
  })();
  entry.promise.catch(() => FILM_STORE.entries.delete(source.hash));
  FILM_STORE.entries.set(source.hash, entry);
  return entry.promise;
}
