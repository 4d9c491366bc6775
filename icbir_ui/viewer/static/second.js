// A second window for a second monitor: what she chooses there of what the page shows, large, drawn by this viewer itself.
// It has no address, asks the server nothing and is gone with the page, so it shows nothing that the page may not show.

const SECOND_STORE = (globalThis[Symbol.for("icbir.second")] ??= { held: null });
const SECOND_SHOWS = [["focus", mark("The film in focus")], ["film", mark("My film")], ["case", mark("The case")], ["both", mark("Both")]];
const SECOND_STYLE = `html, body { margin: 0; height: 100%; background: #000; color: #d8dee6; font: 15px/1.4 system-ui, sans-serif; overflow: hidden; }
  body { display: flex; flex-direction: column; } nav { padding: 0.3rem 0.8rem; display: flex; gap: 0.3rem; }
  button { font: inherit; font-size: 0.85rem; color: #d8dee6; background: #171b22; border: 1px solid #3a4350; border-radius: 4px; padding: 0.1rem 0.7rem; cursor: pointer; }
  button[aria-pressed=true] { color: #0b0d10; background: #7fb2cc; } button:focus-visible { outline: 2px solid #fff; outline-offset: 1px; }
  main { flex: 1; min-height: 0; display: flex; gap: 4px; } @media (max-aspect-ratio: 1 / 1) { main { flex-direction: column; } }
  figure { margin: 0; flex: 1 1 0; min-width: 0; min-height: 0; display: flex; flex-direction: column; position: relative; } canvas { flex: 1; width: 100%; min-height: 0; }
  figcaption { height: 4.2rem; padding: 0.3rem 0.8rem; box-sizing: border-box; overflow: hidden; } p { margin: 0; } .quiet { color: #97a3b0; font-size: 0.8rem; }
  .side { position: absolute; font-weight: 600; font-size: 1.3rem; text-shadow: 0 0 3px #000, 0 0 2px #000; }
  .side[data-edge=left] { left: 0.7rem; top: 45%; } .side[data-edge=right] { right: 0.7rem; top: 45%; }
  .side[data-edge=top] { top: 0.5rem; left: 49%; } .side[data-edge=bottom] { bottom: 4.6rem; left: 49%; }`;

const SECOND = {
  openSecond() {
    // Opened anew by each press, in the same window; the hand of the reader moves it to the other monitor.
    const opened = window.open("", "icbir-second", "popup,width=1000,height=1000");
    if (!opened) return void (this.toolbar.querySelector("[data-act=second]").title = say("The browser held the window back; allow windows for this page."));
    const page = opened.document, [style, bar, films] = ["style", "nav", "main"].map((tag) => page.createElement(tag));
    style.textContent = SECOND_STYLE;
    page.head.replaceChildren(style);
    page.body.replaceChildren(bar, films);
    SECOND_STORE.held = { window: opened, bar, films, painter: new CanvasPainter(), shows: SECOND_STORE.held?.shows ?? "focus" };
    window.addEventListener("pagehide", () => opened.close());
    this.followSecond();
  },

  second() {
    const { held } = SECOND_STORE;
    return this.stop.signal.aborted || !held || held.window.closed ? null : held;
  },

  followSecond() {
    // A new viewer on the page goes on in the window that an earlier one opened; a closed viewer hears of it no more.
    const second = this.second();
    if (!second) return;
    second.window.document.title = say("ICBIR, second window");
    second.bar.replaceChildren(...SECOND_SHOWS.map(([name, words]) => Object.assign(second.window.document.createElement("button"), {
      textContent: say(words), ariaPressed: String(name === second.shows), onclick: () => { second.shows = name; this.followSecond(); } })));
    second.window.addEventListener("resize", () => this.repaint(), { signal: this.stop.signal });
    this.repaint();
  },

  clearSecond() {
    // The viewer goes, with its page or its reader: what it showed goes too. The next viewer goes on in the same window.
    const { held } = SECOND_STORE;
    if (!held || held.window.closed) return;
    held.bar.replaceChildren();
    held.films.replaceChildren();
  },

  findForSecond(shows) {
    // Her film, and the case that is shown large, else the one that is chosen, else the first.
    const film = this.panes.find((one) => one.lead) ?? this.panes[0], chosen = this.panes.find((one) => one.key === this.shown?.key) ?? this.pane();
    const other = chosen && chosen !== film ? chosen : this.panes.find((one) => one !== film);
    return { focus: [chosen], film: [film], case: [other], both: [film, other] }[shows].filter(Boolean);
  },

  paintSecond(tables) {
    const second = this.second();
    if (!second) return;
    const panes = this.findForSecond(second.shows), make = (tag) => second.window.document.createElement(tag);
    while (second.films.children.length > panes.length) second.films.lastChild.remove();
    while (second.films.children.length < panes.length) {
      const figure = make("figure");
      figure.append(make("canvas"), make("figcaption"));
      second.films.append(figure);
    }
    panes.forEach((pane, at) => this.paintInSecond(second, second.films.children[at], pane, tables, `second${at}`));
  },

  paintInSecond(second, figure, pane, tables, key) {
    const [canvas, words] = figure.children, ratio = second.window.devicePixelRatio || 1, place = canvas.getBoundingClientRect(), context = canvas.getContext("2d");
    const rect = { left: 0, top: 0, width: Math.max(1, Math.round(place.width * ratio)), height: Math.max(1, Math.round(place.height * ratio)) };
    if (canvas.width !== rect.width || canvas.height !== rect.height) Object.assign(canvas, { width: rect.width, height: rect.height });
    figure.replaceChildren(canvas, words);
    words.replaceChildren();
    if (!pane.pixels) return context.clearRect(0, 0, rect.width, rect.height);  // never the film before under another's name
    second.painter.paint(context, key, rect, pane.pixels, pane.state.view, this.lookOf(pane, tables));
    this.paintMarks(pane, context, rect, false);
    strokeRegion(context, rect, this.placeRegion(pane, rect), ratio);
    const write = (tag, name, text) => Object.assign(second.window.document.createElement(tag), { className: name, textContent: text });
    for (const one of pane.box.querySelectorAll(".side")) {
      const made = write("span", "side", one.textContent);
      made.dataset.edge = one.dataset.edge;
      figure.append(made);
    }
    const turned = pane.box.querySelector(".turned").textContent, oriented = pane.orientation === "verified" ? "" : say("orientation unverified");
    const told = [pane.title, ...(pane.lines ?? []).slice(0, 2), oriented, turned].filter(Boolean).join(" · ");
    words.append(write("p", "", told), write("p", "quiet", this.data.notice ?? ""));
  },
};
