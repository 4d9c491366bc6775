"""Search on an indexed workspace: itself first, exclusions, filters, refinement, caching, threads."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.cli import main
from icbir_core.errors import FilterError, IndexMismatch, RetrievalError, UnknownNameError
from icbir_core.phantom import simulate_film
from icbir_core.retrieval import opened_target
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.refinement import MoreLikeThese, RefinementTrail, Region
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import SearchFilter, SearchSettings
from icbir_core.types import Query, Radiograph
from tests.helpers.dicom_files import encode_dataset, make_dataset


@pytest.fixture(scope="module")
def retriever(indexed, models) -> Retriever:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_target, "load_models", lambda *_: models)
        yield Retriever.open(indexed)


def read_radiograph_of(seed: int) -> Radiograph:
    pixels = simulate_film(seed, 128).pixels.astype(np.float32) / 255
    return Radiograph(pixels, f"{seed:064x}", f"{seed:064x}", "png")


def make_query(indexed, case) -> Query:
    return Query(case.case_id, read_case_radiograph(indexed, case), case.patient, case.case_id)


@pytest.fixture(scope="module")
def queries(indexed) -> list[Query]:
    return [make_query(indexed, case) for case in indexed.catalogue.cases()]


@pytest.mark.parametrize("method", SEARCH_METHODS)
def test_every_case_finds_itself_first(retriever, queries, method):
    settings = SearchSettings(method=method, top_k=2, identical_image=True)
    for query in queries:
        ranking = retriever.search(query, settings)
        nearest = np.median(retriever.get_target().get_neighbours(method))
        assert ranking.hits[0].case.case_id == query.case_id
        assert ranking.hits[0].distance < 1e-3 * nearest


def test_itself_and_its_patient_are_left_out_by_default(retriever, queries):
    query = queries[4]
    for method in retriever.methods():
        ranking = retriever.search(query, SearchSettings(method=method, top_k=30))
        found = {hit.case.case_id: hit.case.patient for hit in ranking.hits}
        assert query.case_id not in found and query.patient not in found.values()
        assert ranking.eligible == 28 == len(ranking.hits) and ranking.total == 30
        assert [hit.rank for hit in ranking.hits] == list(range(1, 29))
    anonymous = retriever.search(Query("upload", query.radiograph), SearchSettings(top_k=30))
    assert anonymous.eligible == 28, "identical pixels tell the case, and the case its patient"
    allowed = retriever.search(query, SearchSettings(top_k=30, same_patient=True))
    assert allowed.eligible == 29 and query.patient in {hit.case.patient for hit in allowed.hits}


def test_a_copy_that_lost_something_is_left_out_and_told(retriever, queries):
    """Under another patient and without an instance in common: the picture alone tells."""
    own = queries[4]
    levels = np.rint(own.radiograph.pixels * 255).astype(np.uint8)
    data = cv2.imencode(".jpg", levels, (cv2.IMWRITE_JPEG_QUALITY, 90))[1]
    pixels = (cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) / 255).astype(np.float32)
    copy = Query("upload", Radiograph(pixels, "c" * 64, "c" * 64, "png"), "another patient")
    ranking = retriever.search(copy, SearchSettings(top_k=30))
    found = {hit.case.case_id: hit.case.patient for hit in ranking.hits}
    assert ranking.copies == (own.case_id,) and own.case_id not in found and own.patient not in found.values()
    assert ranking.eligible == len(ranking.hits) == 28
    kept = retriever.search(copy, SearchSettings(top_k=30, identical_image=True, same_patient=True))
    assert kept.copies == () and kept.hits[0].case.case_id == own.case_id


def test_routes_agree_and_are_named(retriever, queries):
    for method in (name for name, method in SEARCH_METHODS.items() if method.points):
        answers = [retriever.search(queries[3], SearchSettings(method=method, search=s)) for s in ("annoy", "exact")]
        assert [answer.route for answer in answers] == ["annoy", "exact"]
        assert [hit.case.row for hit in answers[0].hits] == [hit.case.row for hit in answers[1].hits]
    assert retriever.search(queries[3]).route == "annoy"
    assert retriever.search(queries[3], SearchSettings(filter=SearchFilter(sex="F"))).route == "exact (few eligible)"
    with pytest.raises(RetrievalError, match="ssim"):
        retriever.search(queries[3], SearchSettings(method="ssim", search="annoy"))


def test_filters_and_base_rate(retriever, queries, indexed):
    ranking = retriever.search(queries[0], SearchSettings(top_k=30, filter=SearchFilter.parse("sex=F")))
    assert ranking.settings["filter"]["sex"] == "F"
    assert {hit.case.sex for hit in ranking.hits} == {"F"}
    labels = [case.findings["Effusion"].as_number() for case in (hit.case for hit in ranking.hits)]
    assert ranking.eligible == len(labels) and ranking.base_rate == pytest.approx(np.mean(labels))
    with pytest.raises(FilterError, match="none of 30"):
        retriever.search(queries[0], SearchSettings(filter=SearchFilter.parse("age=119")))


def test_where_only_the_film_itself_and_its_patient_are_left_no_filter_is_blamed(retriever, queries, indexed):
    own = queries[4]
    mine, others = ([one.case_id for one in queries if (one.patient == own.patient) is same] for same in (True, False))
    own_view = SearchSettings(filter=SearchFilter(view=indexed.catalogue.get(own.case_id).view))
    try:
        for case_id in others:
            indexed.catalogue.remove(case_id)
        with pytest.raises(RetrievalError, match="very film or another of its patient; add") as told:
            retriever.search(own)
        assert not isinstance(told.value, FilterError) and len(mine) == 2
        with pytest.raises(FilterError, match="that the filter leaves shows this very film"):
            retriever.search(own, own_view)
        for case_id in mine:
            indexed.catalogue.remove(case_id)
        with pytest.raises(RetrievalError, match="Every case is removed"):
            retriever.search(own, own_view)
    finally:
        for case_id in (*others, *mine):
            indexed.catalogue.restore(case_id)


def test_a_removed_case_is_gone_at_once_and_can_come_back(retriever, queries, indexed):
    first = retriever.search(queries[7]).hits[0].case.case_id
    indexed.catalogue.remove(first)
    try:
        again = retriever.search(queries[7], SearchSettings(top_k=30))
        assert first not in {hit.case.case_id for hit in again.hits} and again.total == 29
    finally:
        indexed.catalogue.restore(first)
    assert retriever.search(queries[7]).hits[0].case.case_id == first


def test_ranking_says_what_it_rests_on(retriever, queries, models):
    ranking = retriever.search(queries[1])
    assert ranking.metric == "euclidean" and ranking.target == "Effusion"
    assert ranking.versions["model"] == models.classifier.sha256 and len(ranking.versions["index"]) == 64
    assert set(ranking.prediction.probabilities) == {"Effusion", "Cardiomegaly"}
    assert len(ranking.percentiles) == 10 and all(0 <= value <= 1 for value in ranking.percentiles)
    assert retriever.search(queries[1], SearchSettings(method="ssim")).metric == "1 - ssim"


def test_more_like_these_moves_the_ranking(retriever, queries):
    settings = SearchSettings(top_k=28)
    before = {hit.case.case_id: hit.rank for hit in retriever.search(queries[2], settings).hits}
    last, first = max(before, key=before.get), min(before, key=before.get)
    trail = RefinementTrail().add(MoreLikeThese((last,), (first,)))
    after = {hit.case.case_id: hit.rank for hit in retriever.search(queries[2], settings, trail).hits}
    assert after[last] < before[last] and after[first] >= before[first]
    undone = retriever.search(queries[2], settings, trail.undo())
    assert {hit.case.case_id: hit.rank for hit in undone.hits} == before
    with pytest.raises(RetrievalError, match="not by Structural similarity"):
        retriever.search(queries[2], SearchSettings(method="ssim"), trail)


@pytest.mark.parametrize("step", [None, Region((5, 60, 40, 40), anywhere=True)])
def test_ticks_move_the_ranking_and_never_how_near_a_case_is_to_the_film(retriever, queries, step):
    plain, settings = RefinementTrail(), SearchSettings(top_k=28, search="exact")
    plain = plain.add(step) if step else plain
    first = retriever.search(queries[2], settings, plain)
    last = first.hits[-1].case.case_id
    moved = retriever.search(queries[2], settings, plain.add(MoreLikeThese((last,))))
    assert [hit.case.row for hit in moved.hits] != [hit.case.row for hit in first.hits]
    words = [
        {hit.case.case_id: percentile for hit, percentile in zip(one.hits, one.percentiles, strict=True)}
        for one in (first, moved)
    ]
    assert words[0] == pytest.approx(words[1], abs=0.04)


def test_region_of_a_case_finds_itself_and_ranks_differently(retriever, queries):
    settings = SearchSettings(top_k=29, identical_image=True)
    trail = RefinementTrail().add(Region((5, 60, 40, 40)))
    ranking = retriever.search(queries[6], settings, trail)
    assert ranking.hits[0].case.case_id == queries[6].case_id and ranking.metric == "euclidean (region)"
    assert ranking.hits[0].distance < 0.05 * ranking.hits[1].distance
    whole = retriever.search(queries[6], settings)
    assert [hit.case.row for hit in whole.hits] != [hit.case.row for hit in ranking.hits]
    assert all(hit.place is None for hit in whole.hits)
    assert all(hit.place == pytest.approx((5, 60, 40, 40)) for hit in ranking.hits), "the same place of equal films"
    assert ranking.as_record()["hits"][0]["place"] == pytest.approx([5, 60, 40, 40])


def test_a_region_that_counts_anywhere_is_found_at_its_own_place_in_its_own_film(retriever, queries):
    trail = RefinementTrail().add(Region((5, 60, 40, 40), anywhere=True))
    ranking = retriever.search(queries[6], SearchSettings(top_k=29, identical_image=True), trail)
    assert ranking.hits[0].place == pytest.approx((5, 60, 40, 40))
    others = {hit.place for hit in ranking.hits[1:]}
    assert len(others) > 3, "elsewhere in other films"
    rows, columns = queries[6].radiograph.pixels.shape
    assert all(min(x, y) >= 0 and x + w <= columns and y + h <= rows for x, y, w, h in others)


def test_a_region_is_its_own_method_whatever_the_film_was_searched_by(retriever, queries):
    trail = RefinementTrail().add(Region((5, 60, 40, 40)))
    first, second = (retriever.search(queries[6], SearchSettings(method=m), trail) for m in ("cnn", "ssim"))
    assert first.method == second.method == "region" and "index" not in first.versions
    assert [hit.case.row for hit in first.hits] == [hit.case.row for hit in second.hits]


@pytest.mark.parametrize("anywhere", [False, True])
def test_distances_in_a_region_are_held_against_those_of_the_catalogues_own_cases(retriever, queries, anywhere):
    trail = RefinementTrail().add(Region((5, 60, 40, 40), anywhere))
    nearest = sorted(retriever.search(query, SearchSettings(top_k=1), trail).hits[0].distance for query in queries)
    ranking = retriever.search(queries[6], SearchSettings(top_k=12), trail)
    assert len(ranking.percentiles) == 12 and list(ranking.percentiles) == sorted(ranking.percentiles)
    for hit, percentile in zip(ranking.hits, ranking.percentiles, strict=True):
        slow = np.mean([distance < hit.distance for distance in nearest])
        assert percentile == pytest.approx(slow, abs=0.07), "queries are not rounded to half precision as cases are"


def test_neighbours_in_a_region_are_measured_once(retriever, queries, monkeypatch):
    trail = RefinementTrail().add(Region((11, 33, 25, 70)))
    retriever.search(queries[2], SearchSettings(), trail)
    monkeypatch.setattr(opened_target, "measure_part_neighbours", None)
    assert retriever.search(queries[2], SearchSettings(), trail).percentiles


def test_maps_of_query_and_case_are_the_same(retriever, queries):
    for query in queries[:3]:
        row = retriever.workspace.catalogue.get(query.case_id).row
        mine, stored = (retriever.map_of(one, "deep_taylor").values for one in (query, row))
        np.testing.assert_allclose(stored, mine, atol=2e-3 * np.abs(mine).max())
    other = retriever.map_of(queries[0], "grad_cam")
    assert other.method == "grad_cam" and retriever.map_of(queries[0], "grad_cam") is other


def test_embeddings_are_cached_by_pixels_and_bounded(retriever, queries, monkeypatch):
    monkeypatch.setattr("icbir_core.retrieval.retriever.CACHED_QUERIES", 3)
    retriever = Retriever.open(retriever.workspace)
    first = [retriever.embed_query(query) for query in queries[:6]]
    assert retriever.embed_query(Query("other name", queries[5].radiograph)) is first[5]
    assert retriever.embed_query(queries[0]) is not first[0], "the oldest has made room"


def test_a_ranking_says_truly_whether_its_query_was_kept(retriever, queries, monkeypatch):
    new = Query("new", read_radiograph_of(900))
    monkeypatch.setattr("icbir_core.retrieval.retriever.time.perf_counter", lambda: 0.0)  # a clock that says nothing
    stages = [set(retriever.search(new).timings_ms) for _ in range(2)]
    assert {"prepare", "predict_and_map", "embed"} <= stages[0] and "cached" not in stages[0]
    assert stages[1] == {"cached", "embed", "search", "fetch"}


def test_threads_get_the_answers_of_one_thread(retriever, queries):
    alone = [[hit.case.row for hit in retriever.search(query).hits] for query in queries[:8]]
    retriever = Retriever.open(retriever.workspace)
    barrier = threading.Barrier(4)

    def ask(number: int) -> list[int]:
        if number < 4:
            barrier.wait(timeout=20)
        return [hit.case.row for hit in retriever.search(queries[number % 8]).hits]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(16)))
    assert answers == [alone[number % 8] for number in range(16)]


def test_unknown_names_and_mismatches(retriever, queries, indexed, models, monkeypatch):
    with pytest.raises(UnknownNameError, match="Hernia"):
        retriever.search(queries[0], SearchSettings(target="Hernia"))
    with pytest.raises(UnknownNameError, match="magic"):
        retriever.search(queries[0], SearchSettings(method="magic"))
    with pytest.raises(RetrievalError, match="at least 1"):
        retriever.search(queries[0], SearchSettings(top_k=0))
    monkeypatch.setattr(opened_target, "get_catalogue_sha256", lambda workspace: "f" * 64)
    with pytest.raises(IndexMismatch, match="older than the last ingest"):
        opened_target.OpenedTarget.open(indexed, "Effusion")


def test_a_new_dicom_film_does_not_bring_back_its_own_patient(tmp_path, models, monkeypatch, capsys):
    for number, patient in enumerate(("Secret-77", "Secret-77", "Secret-78", "Secret-79")):
        film = simulate_film(number, 128).pixels
        dataset = make_dataset(film, PatientID=patient, ViewPosition="PA")
        file = tmp_path / ("new" if number == 0 else "archive") / f"IM{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode_dataset(dataset))
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("dicom", tmp_path / "archive"))
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    index_workspace(workspace, models=models)
    asked = ["query", str(workspace.path), str(tmp_path / "new" / "IM0"), "--json"]
    answers = []
    for more in ([], ["--same-patient"]):
        assert main([*asked, *more]) == 0
        answers.append(capsys.readouterr().out)
    assert [json.loads(answer)["eligible"] for answer in answers] == [2, 3]
    # All these films bear one instance; only the one that is also the same picture is known by it.
    copy = tmp_path / "new" / "IM9"
    levels = simulate_film(1, 128).pixels
    darker = (levels // 4 * 3).astype(levels.dtype)
    copy.write_bytes(encode_dataset(make_dataset(darker, PatientID="Secret-80")))
    assert main(["query", str(workspace.path), str(copy), "--json"]) == 0
    answers.append(capsys.readouterr().out)
    assert json.loads(answers[-1])["eligible"] == 2
    assert not any("Secret" in answer for answer in answers)
    assert not [file for file in workspace.path.rglob("*") if file.is_file() and b"Secret" in file.read_bytes()]
