// A row of letters that is ordered by drag, by the arrow keys, or by the buttons of each; it tells Python each new order.

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const list = parentElement.querySelector("ol");
  takeWords(data);
  const [first, last] = parentElement.querySelectorAll(".ordering > span");
  Object.assign(first, { textContent: say("most similar") });
  Object.assign(last, { textContent: say("least similar") });
  list.setAttribute("aria-label", say("Cases, most similar first"));
  const held = `${data.item} ${say("most similar")}`;
  if (list.dataset.item === held) return;
  list.dataset.item = held;
  let order = [...data.order];
  let dragged = null;

  const move = (token, place, tell = true) => {
    order = order.filter((one) => one !== token);
    order.splice(Math.max(0, Math.min(place, order.length)), 0, token);
    draw(token);
    if (tell) setStateValue("order", { item: data.item, tokens: order });
  };

  const draw = (focused) => {
    list.replaceChildren(
      ...order.map((token, place) => {
        const letter = data.letters[data.tokens.indexOf(token)];
        const entry = make("li", {
          draggable: "true", tabindex: "0", "data-token": token,
          "aria-label": say("Case {letter}, place {place} of {count}. Arrow keys move it.", { letter, place: place + 1, count: order.length }),
        }, make("span", {}, letter));
        entry.addEventListener("keydown", (event) => {
          const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
          if (!by) return;
          event.preventDefault();
          event.stopPropagation();
          move(token, order.indexOf(token) + by);
        });
        entry.addEventListener("dragstart", (event) => {
          dragged = token;
          event.dataTransfer.effectAllowed = "move";
          event.dataTransfer.setData("text/plain", letter);
        });
        entry.addEventListener("dragover", (event) => event.preventDefault());
        entry.addEventListener("drop", (event) => {
          event.preventDefault();
          if (dragged && dragged !== token) move(dragged, order.indexOf(token));
          dragged = null;
        });
        return entry;
      }),
    );
    if (focused) list.querySelector(`[data-token="${CSS.escape(focused)}"]`)?.focus();
  };
  draw(null);
}
