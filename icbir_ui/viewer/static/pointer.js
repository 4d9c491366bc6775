// Mouse, pen and touch on the panes.

function bindPointer(viewer, options) {
  const stage = viewer.stage, touches = new Map();
  let drag = null, pinch = null;

  const find = (event) => viewer.panes.find((pane) => pane.box.contains(event.composedPath()[0]));
  const at = (pane, event) => {
    const ratio = window.devicePixelRatio || 1, place = pane.box.getBoundingClientRect();
    return [(event.clientX - place.left) * ratio, (event.clientY - place.top) * ratio];
  };
  const seenPoint = (pane, event) => {
    const [fx, fy] = paneToFilm(...at(pane, event), pane.state.view, pane.pixels, pane.rect);
    return [clamp(fx, 0, pane.pixels.width), clamp(fy, 0, pane.pixels.height)];
  };
  // A page that ran again while a button was held down has made its panes anew.
  const fresh = (pane) => {
    const now = viewer.panes.find((one) => one.key === pane.key);
    return now?.pixels && now.rect ? now : pane;
  };
  const spread = () => {
    const [a, b] = [...touches.values()];
    return { distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1, clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
  };

  stage.addEventListener("pointerdown", (event) => {
    const pane = find(event);
    if (!pane?.pixels || !pane.rect) return;
    if (event.pointerType === "touch") touches.set(event.pointerId, event);
    viewer.choose(pane);
    viewer.drawing = null;  // a box of the keyboard that was not taken
    if (touches.size === 2) {
      pinch = { pane, ...spread() };
      drag = null;
      return;
    }
    const moving = event.button !== 0 || event.shiftKey;
    if (!moving && viewer.pressMark(pane, at(pane, event))) {
      drag = { pane, tool: "mark", id: event.pointerId };
      stage.setPointerCapture(event.pointerId);
      return;
    }
    const tool = moving ? "pan" : viewer.memory.tool === "region" && !pane.regionable ? "window"  : viewer.memory.tool in MARKS || viewer.memory.tool === "select" ? "window" : viewer.memory.tool;
    drag = { pane, tool, x: event.clientX, y: event.clientY, start: at(pane, event), from: seenPoint(pane, event), id: event.pointerId };
    stage.setPointerCapture(event.pointerId);
    if (event.button !== 0) event.preventDefault();
  }, options);

  stage.addEventListener("pointermove", (event) => {
    if (touches.has(event.pointerId)) touches.set(event.pointerId, event);
    const ratio = window.devicePixelRatio || 1;
    if (pinch && touches.size === 2) {
      const now = spread(), [px, py] = at(pinch.pane, now);
      viewer.shift(pinch.pane, (now.clientX - pinch.clientX) * ratio, (now.clientY - pinch.clientY) * ratio);
      viewer.zoom(pinch.pane, now.distance / pinch.distance, px, py);
      Object.assign(pinch, now);
      return;
    }
    const over = drag?.pane ?? find(event);
    if (viewer.memory.loupe) showLens(viewer, over, event, over?.pixels ? at(over, event) : null);
    if (over?.pixels && over.rect) {
      viewer.under = { key: over.key, place: viewer.toFilm(over, paneToFilm(...at(over, event), over.state.view, over.pixels, over.rect)) };
      if (over.look) viewer.label(over);
      if (!drag && viewer.marking) viewer.moveMark(over, at(over, event));
    }
    if (!drag || event.pointerId !== drag.id) return;
    drag.pane = fresh(drag.pane);
    if (drag.tool === "mark") return viewer.moveMark(drag.pane, at(drag.pane, event));
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    if (drag.tool === "window") viewer.tone(drag.pane, dx, dy);
    else if (drag.tool === "pan") viewer.shift(drag.pane, dx * ratio, dy * ratio);
    else if (drag.tool === "zoom") viewer.zoom(drag.pane, Math.exp(-dy / 150), ...drag.start);
    else if (drag.tool === "region") viewer.drawRegion(drag.pane, drag.from, seenPoint(drag.pane, event));
  }, options);

  const release = (event) => {
    touches.delete(event.pointerId);
    if (touches.size < 2) pinch = null;
    if (!drag || event.pointerId !== drag.id) return;
    const { pane, tool } = drag;
    drag = null;
    if (tool === "mark") return viewer.releaseMark(fresh(pane), at(fresh(pane), event));
    if (viewer.drawing && !viewer.drawing.byKeys) viewer.takeRegion();
  };
  stage.addEventListener("pointerup", release, options);
  stage.addEventListener("pointercancel", release, options);
  stage.addEventListener("pointerleave", () => { viewer.lens.hidden = true; }, options);

  stage.addEventListener("wheel", (event) => {
    const pane = find(event);
    // A page of many panes must still scroll: the wheel zooms the chosen pane, or any with Ctrl.
    if (!pane?.pixels || !(event.ctrlKey || viewer.data.full || pane.key === viewer.memory.chosen)) return;
    event.preventDefault();
    viewer.zoom(pane, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...at(pane, event));
  }, { ...options, passive: false });

  stage.addEventListener("dblclick", (event) => {
    // By its place: a captured pointer's clicks have the stage for their target.
    const pane = viewer.panes.find(({ box }) => {
      const { left, right, top, bottom } = box.getBoundingClientRect();
      return left < event.clientX && event.clientX < right && top < event.clientY && event.clientY < bottom;
    });
    if (!pane || viewer.memory.tool in MARKS || viewer.memory.tool === "select") return;
    viewer.choose(pane);
    viewer.act("alone");
  }, options);
  stage.addEventListener("contextmenu", (event) => find(event) && event.preventDefault(), options);
}

function showLens(viewer, pane, event, point) {
  viewer.lens.hidden = !pane?.look || !point;
  if (viewer.lens.hidden) return;
  const place = viewer.stage.getBoundingClientRect(), size = viewer.lens.width, rect = { left: 0, top: 0, width: size, height: size };
  const [fx, fy] = paneToFilm(...point, pane.state.view, pane.pixels, pane.rect);
  const scale = Math.max(2 * scaleOf(pane.state.view, pane.pixels, pane.rect), 1);
  const view = { zoom: scale / fitScale(pane.pixels, rect), x: fx / pane.pixels.width, y: fy / pane.pixels.height };
  viewer.lensPainter.paint(viewer.lens.getContext("2d"), "lens", rect, pane.pixels, view, { ...pane.look, map: null });
  Object.assign(viewer.lens.style, { left: `${event.clientX - place.left - size / 2}px`, top: `${event.clientY - place.top - size / 2}px` });
}
