"""Planted names, dates and numbers are in no scrubbed text, and what a radiologist wrote about the film stays."""

from __future__ import annotations

import itertools
import sqlite3

import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.catalogue.scrubbing import scrub_text
from icbir_core.radiograph.writing import write_lossless
from tests.helpers import fakes

NAMES = ("SMITH JANE", "Jane Smith", "Smith, Jane", "SMITH^JANE", "O'Brien", "Anne-Marie Müller", "Łukasz Żak")
DATES = (
    "1931-02-03", "03.02.1931", "3/2/31", "02/03/1931", "3 February 1931", "February 3, 1931", "3. Feb. 1931",
    "Feb 1931", "19310203", "3rd of March 1931", "3. März 1931", "14:30",
)  # fmt: skip
NUMBERS = ("A12-345678", "MRN 0012345", "+49 30 1234567", "jane.smith@hospital.example", "555-1234", "No. 17/3")
PLACES = (
    "Mrs {} was seen. No effusion.", "Reported by {}, no pneumothorax.", "Patient {} with cough.", "Dr. {} agrees.",
    "Name: {}\nHeart size normal.", "{}\nThe lungs are clear.", "Compared with {}: unchanged.", "Clear. {} notes.",
    "Signed {}", "seen by dr {} today",
)  # fmt: skip


@pytest.mark.parametrize(("place", "planted"), itertools.product(PLACES, (*NAMES, *DATES, *NUMBERS)))
def test_nothing_planted_is_left(place, planted):
    scrubbed = scrub_text(place.format(planted))
    parts = [part for part in planted.replace("^", " ").replace(",", " ").split() if part not in ("of", "No.")]
    assert not [part for part in parts if part.strip(".") and part in scrubbed], scrubbed


@pytest.mark.parametrize("place", ("Mrs {} was seen.", "dr {} agrees", "Name: {}"))
def test_a_name_in_small_letters_is_found_behind_its_title(place):
    scrubbed = scrub_text(place.format("jane smith"))
    assert "jane" not in scrubbed and "smith" not in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "No pleural effusion or pneumothorax. The heart is enlarged.",
        "Findings: mild cardiomegaly.\nImpression: No acute consolidation, unchanged since the prior study.",
        "Patient rotated. Right lower lobe opacity, suspected pneumonia; seen by the team.",
        "PA and lateral views of the chest. LUNGS: Clear.",
    ],
)
def test_what_was_written_about_the_film_stays(text):
    assert scrub_text(text) == text


@pytest.mark.in_a_file
@pytest.mark.parametrize("keep", [False, True])
def test_a_private_folder_keeps_texts_only_when_asked_and_then_scrubbed(tmp_path, keep):
    (tmp_path / "films").mkdir()
    write_lossless(fakes.make_radiograph(3), tmp_path / "films" / "a.png")
    report = "Mrs SMITH JANE, born 1931-02-03. No effusion."
    (tmp_path / "labels.csv").write_text(f'image,report,diagnosis\na.png,"{report}","Seen by Dr Miller"\n')
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("folder", tmp_path / "films", tmp_path / "labels.csv", private=True, texts=keep))
    (case,) = workspace.catalogue.cases()
    assert (case.report, case.diagnosis) == (
        ("Mrs [name] [date]. No effusion.", "Seen by [name]") if keep else (None, None)
    )
    workspace.catalogue.close()
    held = b"".join(file.read_bytes() for file in workspace.path.rglob("*") if file.is_file())
    assert not [word for word in (b"SMITH", b"JANE", b"1931-02-03", b"Miller") if word in held]
    with sqlite3.connect(workspace.path / "catalogue.db") as database:
        assert database.execute("SELECT count(*) FROM cases").fetchone() == (1,)
