"""Names that others gave are shown letter by letter: none becomes a picture, a link or a symbol."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import pytest

from icbir_ui.errors import escape_markdown
from tests.helpers import fakes
from tests.helpers.stores import change_catalogue

PICTURE = "![x](http:&#47;&#47;192.0.2.1&#47;a.png)"


def pack(*names: str, data: bytes = b"no film") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, data)
    return packed.getvalue()


def assert_plain(page, text: str) -> None:
    """The page shows `text`, and nothing that it sends to the browser holds it as Markdown."""
    assert text in page.text()
    assert text not in page.markdown() and "](" not in page.markdown()


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("![x](y)", r"\!\[x\]\(y\)"),
        ("a&#47;<b>`$_*~|\\", r"a\&\#47\;\<b\>\`\$\_\*\~\|" + "\\\\"),
        (":red[x] :smile:", "\\:\u2060red\\[x\\] \\:\u2060smile\\:"),
        ("http://a www.b c@d.e", "http\\:\u2060\\/\\/a www\u2060\\.b c\u2060\\@d\\.e"),
        ("film: 58 years · Größe", "film\\: 58 years · Größe"),
    ],
)
def test_every_active_letter_is_escaped(text, sent):
    assert escape_markdown(text) == sent


@pytest.mark.parametrize("packed", [False, True])
def test_the_name_of_an_upload_is_text(packed, open_page):
    page = open_page("search")
    page.app.file_uploader[0].set_value(
        ("films.zip", pack(PICTURE), "application/zip") if packed else (PICTURE, b"no film", "image/png")
    )
    assert_plain(page.run(), PICTURE)


def test_the_steps_of_an_address_are_text(open_page):
    named = "![x](http://192.0.2.1/a.png)"
    page = open_page("search", film="effusion_1", search=json.dumps({"steps": [{"finding": named}]}))
    assert_plain(page, f"finding {named}")


def test_the_name_of_a_case_is_text(workspace, open_page):
    change_catalogue(
        workspace,
        f"UPDATE cases SET case_id = '{PICTURE}' WHERE case_id = 'case_003'",
    )
    page = open_page("catalogue").turn_to("Remove or restore")
    page.widget("text_input", "case_to_remove").set_value(PICTURE)
    assert_plain(page.run(), f"{PICTURE}: Effusion")
    assert_plain(page.press("Remove"), f"{PICTURE} is removed")
    page.widget("text_input", "case_to_remove").set_value("[nobody](http://192.0.2.1)")
    assert_plain(page.run(), "[nobody](http://192.0.2.1)")


@pytest.mark.parametrize("name", [PICTURE, "a]b.png", "x$1 and y$2"])
def test_the_names_of_copies_are_text_on_the_page_compare(name, open_page, monkeypatch):
    search = fakes.FakeRetriever.search
    monkeypatch.setattr(
        fakes.FakeRetriever, "search", lambda *given: dataclasses.replace(search(*given), copies=(name,))
    )
    page = open_page("compare", film="effusion_1", case="case_003")
    assert_plain(page, f"very film: {name}")
    assert any(one.value.startswith(":orange[") and one.value.endswith(r"\.]") for one in page.app.markdown)


def test_the_name_of_a_demonstration_film_is_text(workspace, open_page):
    (film,) = (workspace.path / "queries").glob("*.png")
    film.rename(film.with_name("![x](y).png"))
    assert r"\!\[x\]\(y\)" in [button.label for button in open_page("search").app.button]
