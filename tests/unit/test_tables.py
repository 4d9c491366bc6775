"""Tables for people: no cell is a formula, letters are read as they were written, and the program reads them back."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from icbir_core.tables import read_table, write_table
from icbir_core.types import shorten

ACTIVE = [
    '=HYPERLINK("http://192.0.2.1")',
    "@SUM(1)",
    "+cmd",
    "-cmd",
    "\tcmd",
    "＝1+1",
    "'=1",
    "''@x",
    " =1",
    "\xa0@x",
]
DIVIDED = {
    "a;=1": "a;'=1",
    'a; "@x': "a; \"'@x",
    "a\t-1;b|+c": "a\t'-1;b|'+c",
    "a\r\n=1": "a\r\n'=1",
    "a;'=1": "a;''=1",
    "\t=1": "'\t'=1",
}
PLAIN = ["a; b", "x;y=1", "Müller", "case_001", "a=b", "'quoted'", "1 + 1", "", 'film, "left"']


def parse(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_no_cell_begins_like_a_formula_whatever_stands_in_it():
    data = write_table(["=case", "why"], [(text, "x") for text in ACTIVE])
    assert data.startswith(b"\xef\xbb\xbf"), "the mark by which a spreadsheet knows UTF-8"
    cells = [row[0] for row in parse(data)]
    assert cells == ["'=case", *(f"'{text}" for text in ACTIVE)]


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_no_part_of_a_cell_begins_like_a_formula_where_another_separator_divides_it(separator):
    data = write_table(["case"], [(text,) for text in (*DIVIDED, *ACTIVE)])
    assert [row[0] for row in parse(data)[1:]] == [*DIVIDED.values(), *(f"'{text}" for text in ACTIVE)]
    lines = data.decode("utf-8-sig").splitlines()
    parts = [part.strip(' "') for line in lines for part in line.split(separator)]
    assert [part for part in parts if part[:1] in tuple("=+-@＝＋－＠")] == []


def test_other_text_and_numbers_stay_what_they_are():
    rows = parse(write_table(["text"], [(text,) for text in PLAIN]))
    assert [row[0] if row else "" for row in rows[1:]] == PLAIN
    numbers = [-3, -0.25, 1e-12, None, "-12", "+4.5e-3", 0.1599999964237213, 0.33692479133605957]
    told = ["-3", "-0.25", "1e-12", "", "-12", "+4.5e-3", "0.16", "0.336925"]
    assert parse(write_table([str(at) for at in range(8)], [numbers]))[1] == told


def test_what_was_written_is_read_back(tmp_path):
    rows = [[text, "why"] for text in (*ACTIVE, *PLAIN, *DIVIDED)]
    (tmp_path / "table.csv").write_bytes(write_table(("item", "reason"), rows))
    assert list(read_table(tmp_path / "table.csv", 2)) == rows
    assert list(read_table(tmp_path / "table.csv", 3)) == [], "rows of another table are left out"


def test_a_table_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / "table.csv").write_text('item,reason\nMüller,"a, b"\n', encoding="utf-8")
    assert list(read_table(tmp_path / "table.csv", 2)) == [["Müller", "a, b"]]


@pytest.mark.parametrize(
    "value, told", [(0.1599999964237213, 0.16), (2.0, 2.0), (123456789.0, 123457000.0), (0.0, 0.0)]
)
def test_numbers_have_the_digits_of_a_32_bit_one(value, told):
    assert shorten(value) == told


def test_no_other_file_writes_a_table_for_people():
    """Simulated films have names of the program's own."""
    root = Path(__file__).resolve().parents[2]
    files = [path for room in ("icbir_core", "icbir_ui", "pages") for path in (root / room).rglob("*.py")]
    written = re.compile(r"csv\.writer|DictWriter|\.to_csv|\.to_excel|to_clipboard")
    found = {path.relative_to(root).as_posix() for path in files if written.search(path.read_text(encoding="utf-8"))}
    assert found == {"icbir_core/tables.py", "icbir_core/phantom/dataset.py"}
