// A second window for a second monitor: the film in focus, large, drawn by this viewer itself. It has no address, asks the
// server nothing and is gone with the page, so it shows nothing that the page may not show.

const SECOND_STORE = (globalThis[Symbol.for("icbir.second")] ??= { held: null });

const SECOND = {
  openSecond() {
    // Opened anew by each press, in the same window; the hand of the reader moves it to the other monitor.
    const opened = window.open("", "icbir-second", "popup,width=1000,height=1000");
    if (!opened) return void (this.toolbar.querySelector("[data-act=second]").title = say("The browser held the window back; allow windows for this page."));
    const page = opened.document, style = page.createElement("style"), canvas = page.createElement("canvas"), words = page.createElement("div");
    page.title = say("ICBIR, second window");
    style.textContent = `html, body { margin: 0; height: 100%; background: #000; color: #d8dee6; font: 15px/1.4 system-ui, sans-serif; overflow: hidden; }
      canvas { display: block; width: 100vw; height: calc(100vh - 4.2rem); }
      div { height: 4.2rem; padding: 0.3rem 0.8rem; box-sizing: border-box; overflow: hidden; } p { margin: 0; } .quiet { color: #97a3b0; font-size: 0.8rem; }
      .side { position: fixed; font-weight: 600; font-size: 1.3rem; text-shadow: 0 0 3px #000, 0 0 2px #000; }
      .side[data-edge=left] { left: 0.7rem; top: 45%; } .side[data-edge=right] { right: 0.7rem; top: 45%; }
      .side[data-edge=top] { top: 0.5rem; left: 49%; } .side[data-edge=bottom] { bottom: 4.6rem; left: 49%; }`;
    page.head.replaceChildren(style);
    page.body.replaceChildren(canvas, words);
    SECOND_STORE.held = { window: opened, canvas, words, painter: new CanvasPainter() };
    this.followSecond();
    window.addEventListener("pagehide", () => opened.close());
    this.repaint();
  },

  followSecond() {
    // A new viewer on the page goes on in the window that an earlier one opened; a closed viewer hears of it no more.
    const { held } = SECOND_STORE;
    if (held && !held.window.closed) held.window.addEventListener("resize", () => this.repaint(), { signal: this.stop.signal });
  },

  clearSecond() {
    // The viewer goes, with its page or its reader: what it showed goes too. The next viewer goes on in the same window.
    const { held } = SECOND_STORE;
    if (!held || held.window.closed) return;
    held.words.replaceChildren();
    held.canvas.width = 1;
  },

  paintSecond(tables) {
    // The case that is shown large, else the film that is chosen, else the first.
    const { held: second } = SECOND_STORE;
    if (this.stop.signal.aborted || !second || second.window.closed) return;
    const pane = this.panes.find((one) => one.key === this.shown?.key) ?? this.pane(), { canvas, words } = second;
    const ratio = second.window.devicePixelRatio || 1, place = canvas.getBoundingClientRect(), context = canvas.getContext("2d");
    const rect = { left: 0, top: 0, width: Math.max(1, Math.round(place.width * ratio)), height: Math.max(1, Math.round(place.height * ratio)) };
    if (canvas.width !== rect.width || canvas.height !== rect.height) Object.assign(canvas, { width: rect.width, height: rect.height });
    words.replaceChildren();
    if (!pane?.pixels) return context.clearRect(0, 0, rect.width, rect.height);  // never the film before under another's name
    second.painter.paint(context, "second", rect, pane.pixels, pane.state.view, this.lookOf(pane, tables));
    this.paintMarks(pane, context, rect, false);
    strokeRegion(context, rect, this.placeRegion(pane, rect), ratio);
    const write = (tag, name, text) => Object.assign(canvas.ownerDocument.createElement(tag), { className: name, textContent: text });
    const sides = [...pane.box.querySelectorAll(".side")].map((one) => {
      const made = write("span", "side", one.textContent);
      made.dataset.edge = one.dataset.edge;
      return made;
    });
    const turned = pane.box.querySelector(".turned").textContent, oriented = pane.orientation === "verified" ? "" : say("orientation unverified");
    const told = [pane.title, ...(pane.lines ?? []).slice(0, 2), oriented, turned].filter(Boolean).join(" · ");
    words.append(write("p", "", told), write("p", "quiet", this.data.notice ?? ""), ...sides);
  },
};
