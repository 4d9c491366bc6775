// Films and maps: fetched once by their hash, unpacked to full depth, kept for the life of the page.

const FILM_STORE = (globalThis[Symbol.for("icbir.films")] ??= { entries: new Map(), fetched: 0, clock: 0 });
const UNPACKERS = (globalThis[Symbol.for("icbir.unpackers")] ??= new Unpackers());
const FILM_STORE_LIMIT = 900e6;

function resolveMedia(url) {
  // Streamlit hands out "/media/…", seen from its base path; a page's own path is one level below it.
  return /^[a-z]+:/i.test(url) ? url : new URL(url.replace(/^\//, ""), document.baseURI).href;
}

function measureFilm(film) {
  // Grey levels (0 … 1) at percentiles.
  const total = film.greys.reduce((sum, count) => sum + count, 0);
  const at = (share) => {
    let left = share * total, bin = 0;
    while (bin < 1023 && (left -= film.greys[bin]) > 0) bin++;
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
    const film = await UNPACKERS.unpack(await answer.arrayBuffer(), withLevels);
    film.hash = source.hash;
    film.grey = film.greys ? measureFilm(film) : null;
    entry.bytes = film.pixels.byteLength * 1.34;
    dropOldFilms();
    return film;
  })();
  entry.promise.catch(() => FILM_STORE.entries.delete(source.hash));
  FILM_STORE.entries.set(source.hash, entry);
  return entry.promise;
}
