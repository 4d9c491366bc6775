// Cases as rows with a small picture each; a click or Enter chooses one, its buttons do something with it.

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const list = parentElement.querySelector("ol");
  takeWords(data);
  list.setAttribute("aria-label", say("Cases; arrow keys move, Enter shows one"));
  const held = JSON.stringify(data);
  if (list.held === held) return;
  const listed = data.rows.map((row) => row.name).join("\n");
  const another = list.listed !== listed;
  list.held = held;
  list.listed = listed;
  const tell = (act, name) => setTriggerValue("acted", { act, name });

  const describe = (row) =>
    make("div", {},
      make("p", {}, make("strong", {}, row.findings), ` · ${row.name}`),
      make("p", { class: "quiet" }, row.facts),
      ...(row.excerpt.length ? [make("p", {}, ...row.excerpt.map(([text, marked]) => (marked ? make("mark", {}, text) : text)))] : []));

  const draw = (row) => {
    const buttons = data.acts.map(([act, label, explained]) => {
      const button = make("button", { type: "button", title: explained, "aria-label": `${label}: ${row.name}` }, label);
      button.addEventListener("click", (event) => {
        event.stopPropagation();
        tell(act, row.name);
      });
      return button;
    });
    const picture = row.picture ? make("img", { src: row.picture, alt: "" }) : make("span", { class: "none" }, say("no picture"));
    const entry = make("li", { tabindex: "0", "data-name": row.name, "aria-current": String(row.name === data.chosen) },
      picture, describe(row), make("span", { class: "acts" }, ...buttons));
    entry.addEventListener("click", () => tell("chosen", row.name));
    entry.addEventListener("keydown", (event) => {
      if (event.target !== entry) return;
      const by = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
      if (by) entry[by]?.focus();
      else if (event.key === "Enter" || event.key === " ") tell("chosen", row.name);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return entry;
  };

  const focused = parentElement.querySelector("li:focus")?.dataset.name;
  list.replaceChildren(...data.rows.map(draw));
  if (another) list.parentElement.scrollTop = 0;
  else if (focused) list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
