"""The pages in other languages: German whole, a third by one file, and no text of a page that is not translated."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from streamlit.runtime.scriptrunner import get_script_run_ctx

from icbir_core.catalogue import LAYOUTS
from icbir_core.errors import RadiographError
from icbir_core.findings import KNOWN_FINDINGS
from icbir_core.settings import SearchFilter
from icbir_core.study.creating import open_store
from icbir_core.study.simulated_readers import ReaderModel, simulate_reader
from icbir_core.types import SEARCH_NOT_SHOWN
from icbir_ui import films, language, state
from icbir_ui.errors import explain
from icbir_ui.language import choose_language, count_of, say, speak_english, translate_told
from icbir_ui.state import Key
from icbir_ui.words import describe_filter
from scripts.collect_words import FOLDER, TEMPLATE, find_missing, make_template, read_catalogue, write_catalogue
from tests.helpers import fakes

ROOT = Path(__file__).resolve().parents[2]
PLACES = re.compile(r"\{\w*\}")
TEXTS = {"label", "body", "help", "placeholder", "options", "content", "text", "alt", "title", "caption", "value"}
"""Fields of Streamlit's elements that a reader reads."""
SHOWN = {
    "title", "lines", "note", "label", "text", "legend", "ends", "heading", "short", "alternative", "question",
    "eligible", "share", "notes", "scale", "findings", "facts", "mapTitle", "notice", "worth", "fault", "leftOff",
}  # fmt: skip
"""The same of the data of a component."""
NAMES = re.compile(
    r"ICBIR|DICOM|PACS|PNG|JPEG|PDF|HTML|CSV|JSON|AUROC|sha256|case_\d+|sim\w+|effusion_\d+|Effusion \d|English|Deutsch"
    r"|PA|AP|[FMLR]|[a-f0-9]{8,}…?|tester|\d{4}-\d\d-\d\d|densenet\w+|DX|CR"
)
"""Names and codes: they are the same in every language."""


@pytest.fixture(scope="module")
def template() -> Catalog:
    return make_template()


@pytest.fixture
def speak(monkeypatch):
    """speak("de") lets every page speak a language."""
    return lambda code: monkeypatch.setattr(language, "get_language", lambda: language._BOUND.get() or code)


@pytest.fixture
def bracketed(template, monkeypatch, speak):
    """A language that puts every text into brackets."""
    made = Catalog(locale="en")
    for one in template:
        if one.id:
            told = tuple(f"⟦{text}⟧" for text in one.id) if isinstance(one.id, tuple | list) else f"⟦{one.id}⟧"
            made.add(one.id, told, context=one.context)
    held, load = language.make_language(made), language.load_language
    monkeypatch.setattr(language, "load_language", lambda code: held if code == "xx" else load(code))
    monkeypatch.setitem(language.list_languages(), "xx", "English")
    speak("xx")


def test_german_is_whole_and_fits_the_program(template):
    """Run `python -m scripts.collect_words` after a text has changed, then translate what it names."""
    german = read_catalogue(FOLDER / "de.po")
    assert not find_missing(template, german)
    known = {(one.id, one.context) for one in template}
    assert not [one.id for one in german if (one.id, one.context) not in known], "what the program says no more"
    for one in german:
        texts = zip(one.id, one.string, strict=True) if isinstance(one.id, tuple) else [(one.id, one.string)]
        for said, told in texts:
            assert sorted(set(PLACES.findall(said))) == sorted(set(PLACES.findall(told))) or not said, said
            assert said[:1].isspace() == told[:1].isspace() or not said, f"a part of a sentence: {said!r}"


def test_the_template_is_that_of_the_program(template, tmp_path):
    write_catalogue(tmp_path / "icbir.pot", template)
    assert TEMPLATE.read_text() == (tmp_path / "icbir.pot").read_text(), "run python -m scripts.collect_words"


@pytest.mark.parametrize(
    ("chosen", "accepted", "spoken"),
    [
        (None, None, "en"),
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "en-GB,en;q=0.9,de;q=0.8", "en"),
        (None, "fr,de;q=0.1", "de"),
        ("en", "de", "en"),
        ("de", "en", "de"),
        ("../x", "de", "de"),
        (None, "de;q=0,fr;q=often,*;q=0.5", "en"),
        (None, "DE-de; q=0.9, en; q=0.5", "de"),
        (None, "en;q=0.2,fr;q=nan,de;q=0.9", "de"),
    ],
)
def test_the_choice_counts_then_the_browser_then_english(chosen, accepted, spoken):
    assert choose_language(chosen, accepted) == spoken


def test_german_says_findings_numbers_and_errors_of_the_core(speak):
    speak("de")
    assert translate_told("Effusion") == "Pleuraerguss" and translate_told("No Finding") == "Kein Befund"
    assert all(translate_told(name) != name for name in KNOWN_FINDINGS if name != "Pneumothorax")
    assert count_of(1, "case") == "1 Fall" and count_of(1200, "case") == "1,200 Fälle"
    told = explain(RadiographError("'x.zip' holds 61 films; upload at most 60 at once."))
    assert told == "„x.zip“ enthält 61 Aufnahmen; laden Sie höchstens 60 auf einmal hoch."
    assert explain(RadiographError("Nobody wrote this sentence.")) == "Nobody wrote this sentence."
    inside = translate_told(SEARCH_NOT_SHOWN.format("Mass"))
    assert "Raumforderung" in inside and "Mass" not in inside
    for card in (ROOT / "assets" / "models").glob("starter_*.json"):
        weakness = translate_told(json.loads(card.read_text(encoding="utf-8"))["warning"])
        assert (
            "Pleuraerguss 0" in weakness
            and "Pneumothorax" in weakness
            and not re.search("Effusion|among|Cardiomegaly", weakness)
        )
    named = explain(RadiographError("'Effusion' holds 61 films; upload at most 60 at once."))
    assert named.startswith("„Effusion“ "), "a name that somebody gave stays as it is"
    assert translate_told("61 films") == "61 Aufnahmen" and translate_told("my best films") == "my best films"
    deep = "less like " * 20_000
    assert len(translate_told(deep)) > len(deep) / 2
    asked = SearchFilter(sex="F", findings={"Effusion": "present"})
    assert describe_filter(asked) == "weiblich, Pleuraerguss vorhanden"
    assert speak_english(describe_filter)(asked) == "female, Effusion present", "what leaves the page as data"


def test_names_of_files_and_cases_stay_in_the_list_of_films(speak, monkeypatch):
    speak("de")
    named = {"a": ("Effusion", "upload"), "b": ("Mass", "catalogue"), "c": ("Received film", "archive")}
    held = {key: SimpleNamespace(entry=entry, origin=origin) for key, (entry, origin) in named.items()}
    monkeypatch.setattr(state, "get", lambda key, default=None: held if key is Key.FILMS else default)
    assert films.list_held() == {"a": "Effusion", "b": "Mass", "c": "Empfangene Aufnahme"}


def test_a_sentence_is_read_once_whatever_names_stand_in_it():
    pattern = language.Pattern(("'", "' in '", "'."), ("film", "place"), "")
    assert pattern.read("'a' in 'b'.") == {"film": "a", "place": "b"} and pattern.read("'a' in 'b'") is None
    assert pattern.read("'a' in 'b' in 'c'.") == {"film": "a", "place": "b' in 'c"}, "the first place that fits"
    assert pattern.read("'.") is None and pattern.read("") is None
    twice = language.Pattern(("", " and ", ""), ("name", "name"), "")
    assert twice.read("a and a") == {"name": "a"} and twice.read("a and b") is None
    together = language.Pattern(("of ", "", ": "), ("one", "other"), "")
    assert together.read("of this: ") == {"one": "", "other": "this"}


def test_a_third_language_is_one_file(tmp_path, monkeypatch, speak):
    made = Catalog(locale="nl")
    made.add("Search", "Zoeken")
    made.add(("{count} case", "{count} cases"), ("{count} casus", "{count} casussen"))
    made.add("Case {letter}", "Casus {number}")
    held = io.BytesIO()
    write_po(held, made)
    (tmp_path / "nl.po").write_bytes(held.getvalue())
    (tmp_path / "it.po").write_bytes(b'msgid "Search"\nmsgstr "\xff"\n')
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    for kept in (language.list_languages, language.load_language, choose_language):
        kept.cache_clear()
    try:
        assert language.list_languages() == {"en": "English", "it": "italiano", "nl": "Nederlands"}
        assert choose_language(None, "nl-BE") == "nl"
        speak("nl")
        assert say("Search") == "Zoeken" and count_of(2, "case") == "2 casussen"
        assert say("Rate") == "Rate", "what is not translated is English"
        assert say("Case {letter}", letter="A") == "Case A", "a translation with another place is not used"
        speak("it")
        assert say("Search") == "Search", "a file that cannot be read takes no page down"
    finally:
        monkeypatch.undo()
        for kept in (language.list_languages, language.load_language, choose_language):
            kept.cache_clear()


@pytest.fixture
def choosing(searched, monkeypatch):
    """The page Search, whose language follows the choice at its foot also where AppTest reads the page between runs."""

    def get_chosen() -> str:
        if get_script_run_ctx(suppress_warning=True) is not None:
            return state.get(Key.LANGUAGE) or "en"
        with suppress(KeyError):
            return searched.app.session_state[Key.LANGUAGE.value] or "en"
        return "en"

    monkeypatch.setattr(language, "get_language", get_chosen)
    return searched


def test_the_language_changes_at_the_foot_and_nothing_is_lost(choosing):
    searched = choosing
    cases, held = searched.case_ids, searched.app.session_state[Key.CURRENT.value]
    searched.app.button(key="language_de").click()
    searched.run()
    assert searched.app.session_state[Key.LANGUAGE.value] == "de" and searched.case_ids == cases
    assert searched.app.session_state[Key.CURRENT.value] == held
    said = searched.text()
    assert "Kein Medizinprodukt" in json.dumps([one.proto.body for one in searched.app.get("html")])
    assert any("Fällen sind möglich" in one.value for one in searched.app.caption), said
    assert searched.data["words"]["Loupe (L)"] == "Lupe (L)" and searched.data["language"] == "de"
    assert "Pleuraerguss" in json.dumps(searched.data["panes"], ensure_ascii=False)
    assert {one["name"] for one in searched.data["answer"]["findings"]} <= set(KNOWN_FINDINGS), "keys stay English"
    searched.app.button(key="language_en").click()
    searched.run()
    assert searched.data["words"] == {} and any("cases are eligible" in one.value for one in searched.app.caption)


def test_a_setting_stays_what_it_was_in_another_language(choosing):
    searched = choosing
    searched.widget("selectbox", Key.COUNT.value).set_value(3)
    searched.run()
    searched.app.button(key="language_de").click()
    searched.run()
    assert searched.widget("selectbox", Key.COUNT.value).value == 3 and len(searched.case_ids) == 3
    searched.run()
    assert len(searched.case_ids) == 3


# ---- the walk


def list_texts(node: Any) -> Iterator[tuple[str, str]]:
    """(where, text) of everything that a reader reads below a node of a page."""
    proto = getattr(node, "proto", None)
    if getattr(node, "type", "") == "bidi_component":
        yield from list_data(json.loads(proto.json), proto.component_name)
    elif getattr(node, "type", "") == "html":
        body = re.sub(r"<(style|script)>.*?</\1>", "", proto.body, flags=re.DOTALL)
        yield from (
            ("html", unescape(text)) for text in re.findall(r'>([^<]+)<|title="([^"]*)"', body) for text in text
        )
    elif getattr(node, "type", "") in ("table", "arrow_table", "dataframe", "arrow_data_frame"):
        yield from (("table", str(column)) for column in node.value.columns)
    elif getattr(node, "type", "") != "code" and proto is not None:
        yield from list_fields(proto, getattr(node, "type", ""))
    for child in getattr(node, "children", {}).values():
        yield from list_texts(child)


def list_fields(proto: Any, where: str) -> Iterator[tuple[str, str]]:
    for described, value in getattr(proto, "ListFields", lambda: ())():
        values = [value] if isinstance(value, str) else value if described.type == described.TYPE_STRING else None
        if values is not None:
            yield from ((f"{where}.{described.name}", one) for one in values if described.name in TEXTS)
        elif described.type == described.TYPE_MESSAGE:
            for one in [value] if hasattr(value, "ListFields") else value:
                yield from list_fields(one, where)


def list_data(held: Any, where: str, shown: bool = False) -> Iterator[tuple[str, str]]:
    if isinstance(held, dict):
        for name, value in held.items():
            if name == "acts":
                yield from ((f"{where}.acts", text) for act in value for text in act[1:])
            elif name != "words":
                yield from list_data(value, f"{where}.{name}", name in SHOWN or (shown and not isinstance(value, str)))
    elif isinstance(held, list):
        for one in held:
            yield from list_data(one, where, shown)
    elif isinstance(held, str) and shown:
        yield where, held


def find_plain(texts: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """The texts that hold words outside of brackets, names and codes left aside."""
    found = []
    for where, text in texts:
        rest, before = re.sub(r"\\|:\w+\[", "", text), ""
        while rest != before:
            rest, before = re.sub(r"⟦[^⟦⟧]*⟧", "", rest), rest
        if re.search(r"[^\W\d_]{2,}", NAMES.sub("", rest)):
            found.append((where, text))
    return found


def check(page, *but: str) -> None:
    """No text of the page is plain. but : patterns of what is data of the page's own making."""
    texts = list(list_texts(page.app._tree))
    plain = [one for one in find_plain(iter(texts)) if not any(re.search(pattern, one[1]) for pattern in but)]
    assert not plain, plain
    assert sum("⟦" in text for _, text in texts) > 5, "the page says something"


MADE_UP = r"Signed|^PNG, 8 bit, grey$|^Drawn for a test\.$"
"""A map method and a report of these tests alone, and what a decoder says of a file."""


@pytest.mark.parametrize("name", ["search", "rate", "results", "compare", "pacs"])
def test_no_text_of_a_first_page_is_plain(name, bracketed, open_page):
    check(open_page(name), "^To come$")  # out of sight


def test_no_text_of_the_notice_is_plain(bracketed, make_page):
    page = make_page("search", reader="")
    page.app.run()
    check(page)


def test_no_text_of_a_search_and_of_a_comparison_is_plain(bracketed, searched, open_page):
    first, second = searched.case_ids[:2]
    searched.decide("mapped", 1, on=True)
    searched.decide("marked", 2, pane=first, mark="more")
    searched.decide("marked", 3, pane=second, mark="less")
    check(searched, MADE_UP)
    searched.app.button(key=Key.APPLY_MARKS.value).click()
    searched.run()
    searched.decide("region", 4, pane="query", box=[40, 40, 90, 90])
    check(searched, MADE_UP)
    searched.decide("finding", 5, pane="query", finding="Cardiomegaly")
    check(searched, MADE_UP)
    compare = open_page("compare")
    for key in (Key.FILMS, Key.CURRENT, Key.RANKING):
        compare.app.session_state[key.value] = searched.app.session_state[key.value]
    check(compare.run(), MADE_UP)


@pytest.mark.parametrize("part", ["List", "Folders", "Overview", "Embeddings", "Add films", "Remove or restore"])
def test_no_text_of_the_catalogue_is_plain(part, bracketed, open_page):
    layouts = "^(" + "|".join(LAYOUTS) + ")$"
    check(open_page("catalogue").turn_to(f"⟦{part}⟧"), r" · workspace$", layouts)


def test_no_text_of_a_reading_study_is_plain(bracketed, workspace, open_page):
    fakes.make_study(workspace)
    check(open_page("rate"), "^pilot$")
    check(open_page("results"), "^pilot$")


def test_no_text_of_the_statistics_of_a_study_is_plain(bracketed, workspace, open_page):
    study = fakes.make_study(workspace)
    for number in (1, 2, 3):
        simulate_reader(open_store(workspace), study, f"simulated-{number}", ReaderModel(), lambda a, b: 3.0, number)
    page = open_page("results")
    page.app.segmented_control[0].set_value("Simulated readers")
    page.run()
    assert len(page.app.table) > 3
    check(page, r"simulated-\d", "^pilot$")


def test_no_text_about_the_program_is_plain(bracketed, open_page):
    names = r"^- W\. Silva|^(onnxruntime|tensorflow|keras|numpy|streamlit|annoy|pydicom|opencv-python|Python)$"
    check(open_page("about"), names)


def test_no_element_is_given_a_plain_text():
    """Also where the walk does not come."""
    drawn = {
        "button", "caption", "checkbox", "download_button", "error", "expander", "form_submit_button", "info",
        "markdown", "multiselect", "pills", "popover", "progress", "radio", "segmented_control", "selectbox",
        "spinner", "subheader", "success", "text_area", "text_input", "title", "toast", "toggle", "warning",
    }  # fmt: skip
    plain = []
    for path in (*(ROOT / "icbir_ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Attribute)
                or node.func.attr not in drawn
            ):
                continue
            if ast.unparse(node.func.value) != "_LOG":
                texts = [*node.args[:1], *(one.value for one in node.keywords if one.arg in ("help", "placeholder"))]
                plain += [(path.name, node.lineno, text) for one in texts for text in _list_plain(one)]
    assert not plain


def _list_plain(node: ast.AST) -> list[str]:
    """The texts with a word below a node that no call translates; "To come" is out of sight."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("say", "count_of"):
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in ("To come", "ICBIR"):
        return [node.value] if re.search(r"[A-Za-z]+ [a-z]|^[A-Z][a-z]{2,}", node.value) else []
    return [text for child in ast.iter_child_nodes(node) for text in _list_plain(child)]


def test_the_walk_finds_a_plain_text(bracketed, open_page, monkeypatch):
    monkeypatch.setattr("icbir_ui.frame.page.say", lambda text: text)
    with pytest.raises(AssertionError, match="Results"):
        check(open_page("results"))
