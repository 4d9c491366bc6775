// What the keys do in a viewer, and when the page is told what the hand has done.

const DIGITS = /^(?:Digit|Numpad)([0-9])$/;

const KEYBOARD = {
  freeArrows(event) {
    // Where arrows step through cases, a choice of the page that was clicked must not keep them to itself. A choice
    // reached by the keyboard keeps its focus.
    const target = event.composedPath()[0], choice = target.closest?.("[role=radio], label");
    if (choice && this.data?.arrows === "step" && !event.composedPath().includes(this.root)) {
      setTimeout(() => document.activeElement?.matches("[role=radio], input[type=radio]") && document.activeElement.blur(), 250);
    }
  },

  watchTheHand(options) {
    // The view is told when the hand goes elsewhere, not while it works here: each report makes the page run again.
    // Of a click it is told at the release, just before the page's own answer: what runs again while a button is held
    // down may move it away from under the pointer. A link is left alone: what ran again for the page that she is
    // leaving would keep her there.
    let pressed = false;
    const outside = (event) => !event.composedPath().some((one) => one === this.root || one.matches?.("a[href]"));
    window.addEventListener("pointerdown", () => { pressed = true; }, options);
    window.addEventListener("pointercancel", () => { pressed = false; }, options);
    window.addEventListener("pointerup", (event) => { pressed = false; if (outside(event)) this.report(); }, options);
    window.addEventListener("focusin", (event) => { if (!pressed && outside(event)) this.report(); }, options);
    // A letter or digit that does nothing here may be a shortcut of the page.
    window.addEventListener("keydown", (event) => { if (event.key.length === 1 && !this.find(event)) this.report(); }, options);
  },

  holdKeys(event) {
    // The page's own shortcuts do not ask whether a button can be pressed.
    if (event.key.length > 1 || event.ctrlKey || event.metaKey || event.altKey || !this.root.isConnected || this.guard()) return;
    if (event.composedPath()[0].closest?.("input:not([type=range]), textarea, [contenteditable]")) return;
    event.stopImmediatePropagation();
    event.preventDefault();
  },

  press(event) {
    const found = this.find(event);
    if (!found) return;
    found();
    event.preventDefault();
  },

  find(event) {
    // What a key does here, as a function; null where it is the page's.
    const target = event.composedPath()[0], inside = event.composedPath().includes(this.root);
    const combined = event.ctrlKey || event.metaKey;
    if (!this.panes.length || !this.root.isConnected || event.altKey || this.help.open) return null;
    if (target.isContentEditable || target.closest?.("input:not([type=range]), textarea, select, [role=slider], [role=combobox], [role=textbox], [role=dialog]")) return null;
    if (!inside && target.closest?.("button, a, [role=radio], [role=tab], [role=option], summary") && /^(Space|Enter|Arrow)/.test(event.code)) return null;
    if (combined) return this.findMarkKey(event, this.pane(), event.key.toLowerCase());
    const digit = DIGITS.exec(event.code)?.[1], pane = this.pane(), key = event.key.toLowerCase();
    const arrow = event.key.startsWith("Arrow") && target.type !== "range";
    const names = { i: "invert", l: "loupe", o: "overlay", c: "contour", k: "link", f: "fit", r: "reset", y: "turn", z: "mirror", "?": "help" };
    const tones = { n: [-25, 0], w: [25, 0], ",": [0, -20], ".": [0, 20] };  // as far as a drag of so many pixels
    if (this.drawing?.byKeys) {
      if (arrow) return () => this.changeBox(event.key, event.shiftKey);
      if (event.key === "Enter") return () => this.takeRegion();
      if (event.key === "Escape") return () => this.dropRegion();
    }
    const marked = this.findMarkKey(event, pane, key, arrow);
    if (marked) return marked;
    if (digit && (this.data.digits === "rate" || event.shiftKey)) return pane.ratable ? () => this.rate(pane, Number(digit)) : null;
    if (digit === "0") return () => this.act("one");
    const lettered = this.panes.some((one) => one.shortcut);  // else panes are counted in their order
    const named = this.panes.find((one, at) => (lettered ? one.shortcut : String(at + 1)) === (digit ?? key));
    if (named) return () => { this.choose(named, true); this.showLarge(this.data.room && !named.lead ? named : null, "key"); };
    if (digit) return null;
    if (event.key === "+" || event.key === "=") return () => this.zoomMiddle(pane, 1.25);
    if (event.key === "-" || event.key === "−") return () => this.zoomMiddle(pane, 0.8);
    if (event.code === "Space" && !target.closest?.("button, summary")) return () => this.peek(true);
    if (arrow && this.data.room && !event.shiftKey) return () => this.stepCases(this.panes.find((one) => one.key === this.memory.chosen), event.key);
    if (arrow) return () => this.arrow(pane, event.key);
    if (event.key === "Enter" && (this.data.room || this.data.board) && pane.openable && (this.shown || target.matches?.("figure"))) return () => this.send("opened", { pane: pane.key });
    if (event.key === "Escape" && this.shown) return () => this.showLarge(null);
    if (key === "u" && this.data.room && this.data.answer) return () => this.play();
    if (key === "m" && this.data.answer?.mappable) return () => this.send("mapped", { on: !this.data.answer.mapped });
    if (event.key === "Enter" && target.matches?.("figure")) return () => this.act("alone");
    if (event.key === "Escape" && this.memory.alone) return () => this.act("alone");
    if (key === "p") return () => this.nextPreset();
    if (key === "b" && this.data.region) return () => this.placeBox(pane);
    if (tones[key]) return () => this.tone(pane, ...tones[key]);
    return names[key] ? () => this.act(names[key]) : null;
  },

  arrow(pane, key) {
    if (this.data.arrows === "step" && (key === "ArrowLeft" || key === "ArrowRight")) return this.send("stepped", { by: key === "ArrowLeft" ? -1 : 1 });
    if (!pane?.rect) return;
    const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    this.shift(pane, (dx * pane.rect.width) / 12, (dy * pane.rect.height) / 12);
  },

  zoomMiddle(pane, factor) {
    if (pane?.rect && pane.pixels) this.zoom(pane, factor, pane.rect.width / 2, pane.rect.height / 2);
  },

  nextPreset() {
    const at = PRESETS.findIndex(([name]) => name === this.memory.preset);
    this.act("preset", PRESETS[(at + 1) % PRESETS.length][0]);
  },

  rate(pane, value) {
    pane?.figure.querySelector(`[data-rating="${value}"]`)?.click();
  },
};
