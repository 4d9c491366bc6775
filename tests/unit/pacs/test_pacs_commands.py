"""`icbir export dicom` and `icbir send`, with the stand-in retriever."""

from __future__ import annotations

import io
import json

import numpy as np
import pydicom
import pytest

from icbir_core.annotation.records import Annotation
from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph, read_query
from icbir_core.cli import main
from icbir_core.deidentifying.leaving import FRAME, is_burned_in_case, read_leaving_case
from icbir_core.errors import BurnedInText
from icbir_core.pacs import destination
from icbir_core.pacs.composing import compose_result, draw_maps
from icbir_core.pacs.outbox import Outbox
from icbir_core.pacs.result_objects import make_result_objects
from icbir_core.pacs.source_header import read_source_header
from icbir_core.retrieval import retriever
from icbir_core.settings import SearchSettings
from tests.helpers import fakes
from tests.helpers.made_data_sets import write_dicom
from tests.helpers.search_results import make_film
from tests.unit.pacs.test_outbox import FakeCarrier


class Opened(fakes.FakeRetriever):
    map_method = "deep_taylor"

    @classmethod
    def open(cls, path, target=None, device="auto"):
        from icbir_core.catalogue import Workspace

        return cls(Workspace.open(path))

    def search(self, query, settings, trail=None):
        from dataclasses import replace

        return super().search(query, replace(settings, target=settings.target or "Effusion"), trail)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return fakes.make_workspace(tmp_path_factory.mktemp("drawn") / "workspace").path


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.setattr(retriever, "Retriever", Opened)
    for name in ("RESULTS", "OUTBOX", "DICOMWEB"):
        monkeypatch.delenv(f"ICBIR_{name}", raising=False)
    path = tmp_path / "film.dcm"
    path.write_bytes(make_film())
    return path


def test_the_objects_of_a_search_are_written(drawn, film, tmp_path, capsys):
    assert main(["export", "dicom", str(drawn), str(film), "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    made = [pydicom.dcmread(path) for path in told["written"]]
    assert [one.Modality for one in made] == ["OT", "SR", "PR"]
    assert {one.PatientID for one in made} == {"4711"}
    opened = Opened.open(drawn)
    ranking = opened.search(read_query(opened.workspace, "query", make_film()), SearchSettings(top_k=8))
    report = (tmp_path / "out" / next(p.name for p in (tmp_path / "out").iterdir() if "report" in p.name)).read_bytes()
    assert all(hit.case.case_id.encode() in report for hit in ranking.hits) and len(ranking.hits) == 8


def test_cases_can_be_left_off_the_page_and_unreadable_ones_are(drawn, film):
    opened = Opened.open(drawn)
    query = read_query(opened.workspace, "query", film.read_bytes())
    ranking = opened.search(query, SearchSettings(top_k=4, target="Effusion"))
    maps = draw_maps(opened, query, ranking, "deep_taylor")
    source = read_source_header(film.read_bytes())

    def read_some(case):
        from icbir_core.errors import RadiographError

        if case.case_id == ranking.hits[1].case.case_id:
            raise RadiographError("gone")
        return read_case_radiograph(opened.workspace, case)

    result = compose_result(source, query.radiograph, ranking, maps, read_some)
    assert [case.title[0] for case in result.cases] == ["1", "3", "4"]
    assert result.told == ("Not on the page: case 2. gone",)
    without = compose_result(source, query.radiograph, ranking, maps, None)
    assert without.cases == () and without.told == ()
    report = make_result_objects(result).objects[1].data
    assert ranking.hits[1].case.case_id.encode() in report


def test_a_case_with_text_in_its_film_is_not_shown_to_another_patient(tmp_path):
    films = tmp_path / "films"
    write_dicom(films / "named.dcm", seed=1, BurnedInAnnotation="YES")
    write_dicom(films / "plain.dcm", seed=2)
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, IngestOptions("folder", films))
    named, plain = (workspace.catalogue.get(name) for name in ("named", "plain"))
    assert is_burned_in_case(workspace, named) and not is_burned_in_case(workspace, plain)
    with pytest.raises(BurnedInText, match="burned into its film") as told:
        read_leaving_case(workspace, named)
    assert FRAME not in str(told.value)  # a command has nothing to frame it with
    with pytest.raises(BurnedInText, match="Frame the text"):
        read_leaving_case(workspace, named, ())
    framed = read_leaving_case(workspace, named, (Annotation("rectangle", ((2.0, 3.0), (12.0, 9.0))),)).pixels
    expected = read_case_radiograph(workspace, named).pixels.copy()
    assert not (framed[3:9, 2:12] == expected[3:9, 2:12]).all()
    expected[3:9, 2:12] = expected.min()
    np.testing.assert_array_equal(framed, expected)
    assert read_leaving_case(workspace, plain).pixel_sha256 == plain.pixel_sha256


def test_a_film_without_a_header_is_refused_before_anything_is_loaded(drawn, film, tmp_path, capsys):
    film.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert main(["export", "dicom", str(drawn), str(film), "--out", str(tmp_path / "out")]) == 1
    assert "no DICOM file" in capsys.readouterr().err
    assert main(["export", "dicom", str(drawn), str(film)]) == 1


def test_what_is_queued_is_sent_once(drawn, film, tmp_path, monkeypatch, capsys):
    assert main(["export", "dicom", str(drawn), str(film), "--queue"]) == 1
    assert "ICBIR_RESULTS" in capsys.readouterr().err
    assert main(["send", str(drawn)]) == 1
    assert "'off'" in capsys.readouterr().err
    monkeypatch.setenv("ICBIR_RESULTS", "dicom://PACS@127.0.0.1:104")
    monkeypatch.setenv("ICBIR_OUTBOX", str(tmp_path / "box"))
    assert main(["export", "dicom", str(drawn), str(film), "--queue"]) == 0
    (parcel,) = Outbox(tmp_path / "box").list_parcels()
    carrier = FakeCarrier()
    monkeypatch.setattr(destination.Destination, "get_opener", lambda self: carrier.open)
    assert main(["send", str(drawn), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sent"] == 3
    assert main(["send", str(drawn), "--again"]) == 0 and len(carrier.calls) == 3
    assert {str(pydicom.dcmread(io.BytesIO(data)).StudyID) for data in carrier.stored.values()} == {"S1"}
    assert Outbox(tmp_path / "box").is_sent(parcel.name)
