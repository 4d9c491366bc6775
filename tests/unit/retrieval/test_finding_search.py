"""The search "this finding": another slow way to the same ranking, for findings that were never indexed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from icbir_core.catalogue import read_case_radiograph
from icbir_core.errors import IndexMismatch, RetrievalError, UnknownNameError
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval import opened_target
from icbir_core.retrieval.finding_features import weigh_features
from icbir_core.retrieval.refinement import Finding, MoreLikeThese, RefinementTrail, Region
from icbir_core.retrieval.retriever import Retriever
from icbir_core.saliency.methods import FIRST_MAP
from icbir_core.saliency.registry import attribute
from icbir_core.settings import SearchFilter, SearchSettings
from icbir_core.types import FindingState, Query

OTHER = "Cardiomegaly"
TRAIL = RefinementTrail().add(Finding(OTHER))


@pytest.fixture(scope="module")
def retriever(indexed, models) -> Retriever:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_target, "load_models", lambda *_: models)
        yield Retriever.open(indexed)


@pytest.fixture(scope="module")
def queries(indexed) -> list[Query]:
    cases = indexed.catalogue.cases()
    return [Query(case.case_id, read_case_radiograph(indexed, case), case.patient, case.case_id) for case in cases]


def describe_slowly(retriever: Retriever, query: Query) -> np.ndarray:
    """Centred features of a film times the sizes of the head's weights, one coordinate after another."""
    opened = retriever.get_target()
    image = fit_to_network(query.radiograph.pixels, opened.models.classifier.input_settings)
    features = opened.models.classifier.features(image[None]).astype("f8")[0] - opened.centres["cnn"].mean.astype("f8")
    kernel = opened.models.classifier.model.get_layer("logits").get_weights()[0].astype("f8")
    sizes = [abs(float(row[opened.models.classifier.findings.index(OTHER)])) for row in kernel]
    mean = sum(sizes) / len(sizes)
    return features / np.sqrt((features**2).sum()) * np.array(sizes) / mean


def test_a_finding_ranks_by_what_its_logit_uses(retriever, queries):
    assert OTHER not in retriever.targets and OTHER in retriever.findings
    query = queries[5]
    ranking = retriever.search(query, SearchSettings(top_k=6), TRAIL)
    own = describe_slowly(retriever, query)
    others = [one for one in queries if one.patient != query.patient]
    distances = {one.case_id: np.linalg.norm(describe_slowly(retriever, one) - own) for one in others}
    assert [hit.case.case_id for hit in ranking.hits] == sorted(distances, key=distances.get)[:6]
    for hit in ranking.hits:
        assert hit.distance == pytest.approx(distances[hit.case.case_id], rel=1e-4)


def test_a_finding_is_its_own_method_and_says_what_it_is_about(retriever, queries):
    first, second = (retriever.search(queries[5], SearchSettings(method=m), TRAIL) for m in ("ssim", "ig_cbir"))
    assert first.method == "finding" and first.metric == "euclidean (finding)" and first.target == OTHER
    assert [hit.case.row for hit in first.hits] == [hit.case.row for hit in second.hits]
    assert first.versions["index"] == retriever.get_target().get_versions("cnn_centred")["index"]
    states = [
        case.findings[OTHER] for case in retriever.workspace.catalogue.cases() if case.patient != queries[5].patient
    ]
    carried = [state is FindingState.PRESENT for state in states if state.known]
    assert first.base_rate == (pytest.approx(np.mean(carried)) if carried else None)


def test_distances_are_held_against_those_of_the_catalogues_own_cases(retriever, queries):
    nearest = [retriever.search(query, SearchSettings(top_k=1), TRAIL).hits[0].distance for query in queries]
    ranking = retriever.search(queries[6], SearchSettings(top_k=12), TRAIL)
    assert len(ranking.percentiles) == 12
    for hit, percentile in zip(ranking.hits, ranking.percentiles, strict=True):
        assert percentile == pytest.approx(np.mean([one < hit.distance for one in nearest]), abs=0.07)


def test_every_finding_has_its_own_distances_and_maps(retriever, queries):
    """One after the other, so that what was remembered of one must not answer for another."""
    asked = [RefinementTrail().add(Finding(name)) for name in (OTHER, "Effusion", OTHER)]
    first, second, again = (retriever.search(queries[6], SearchSettings(top_k=9), trail) for trail in asked)
    assert first.percentiles == again.percentiles != second.percentiles
    for ranking in (first, second):
        trail = RefinementTrail().add(Finding(ranking.target))
        nearest = [retriever.search(query, SearchSettings(top_k=1), trail).hits[0].distance for query in queries]
        expected = [np.mean([one < hit.distance for one in nearest]) for hit in ranking.hits]
        np.testing.assert_allclose(ranking.percentiles, expected, atol=0.07)
    maps = [retriever.map_of(queries[6], "grad_cam", name).values for name in (OTHER, "Effusion")]
    assert not np.array_equal(*maps)


@pytest.mark.parametrize("step", [Finding(OTHER), Region((5, 60, 40, 40))])
def test_filters_hold_for_a_part_of_the_film(retriever, queries, step):
    views = {case.case_id: case.view for case in retriever.workspace.catalogue.cases()}
    settings = SearchSettings(top_k=28, filter=SearchFilter(view="AP"))
    ranking = retriever.search(queries[5], settings, RefinementTrail().add(step))
    assert ranking.hits and {views[hit.case.case_id] for hit in ranking.hits} == {"AP"}
    assert ranking.eligible < ranking.total


@pytest.mark.parametrize("methods", [("cnn", "ssim"), ("ssim",)])
def test_the_features_that_are_indexed_are_compared_or_none_is_offered(indexed, models, queries, methods, monkeypatch):
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    made = Retriever.open(indexed)
    opened = made.get_target()
    opened.indexes = {name: opened.indexes[name] for name in methods}
    if "cnn" in methods:
        ranking = made.search(queries[5], SearchSettings(top_k=4), TRAIL)
        assert ranking.versions["index"] == opened.get_versions("cnn")["index"] and OTHER in made.findings
    else:
        assert made.findings == ()
        with pytest.raises(RetrievalError, match="index command"):
            made.search(queries[5], SearchSettings(top_k=4), TRAIL)


def test_maps_of_a_target_that_was_not_indexed_again_are_computed(retriever, queries, monkeypatch):
    own = retriever.get_target()

    def refuse(target=None):
        if target == OTHER:
            raise IndexMismatch("Expected an index of the whole catalogue, got an older one.")
        return own

    monkeypatch.setattr(retriever, "targets", (*retriever.targets, OTHER))
    monkeypatch.setattr(retriever, "get_target", refuse)
    assert retriever.map_of(queries[8], target=OTHER).finding == OTHER


def test_ticked_cases_draw_the_query_and_the_last_part_chosen_ranks(retriever, queries):
    settings = SearchSettings(top_k=28)
    wanted = retriever.search(queries[5], settings, TRAIL).hits[9].case.case_id
    moved = retriever.search(queries[5], settings, TRAIL.add(MoreLikeThese((wanted,))))
    assert [hit.case.case_id for hit in moved.hits].index(wanted) < 9 and moved.method == "finding"
    by_rank = {hit.case.case_id: percentile for hit, percentile in zip(moved.hits, moved.percentiles, strict=True)}
    plain = retriever.search(queries[5], settings, TRAIL)
    for hit, percentile in zip(plain.hits, plain.percentiles, strict=True):
        assert by_rank[hit.case.case_id] == percentile, "words compare with the film, not with where the ticks moved it"
    region = TRAIL.add(Region((5, 60, 40, 40)))
    assert retriever.search(queries[5], settings, region).method == "region"
    assert retriever.search(queries[5], settings, region).target == OTHER
    assert retriever.search(queries[5], settings, region.add(Finding(OTHER))).method == "finding"


def test_maps_of_a_finding_that_is_no_target_are_computed(retriever, queries):
    found = retriever.map_of(queries[3], target=OTHER)
    case = retriever.workspace.catalogue.get(queries[3].case_id)
    classifier = retriever.get_target().models.classifier
    image = fit_to_network(queries[3].radiograph.pixels, classifier.input_settings)
    np.testing.assert_allclose(found.values, attribute(classifier, image[None], OTHER, FIRST_MAP)[0], rtol=1e-5)
    assert found.finding == OTHER and retriever.map_of(case, target=OTHER) is found


def test_a_finding_that_the_classifier_does_not_know_is_refused(retriever, queries):
    with pytest.raises(UnknownNameError, match="Cardiomegaly"):
        retriever.search(queries[0], SearchSettings(), RefinementTrail().add(Finding("Scoliosis")))
    with pytest.raises(UnknownNameError):
        retriever.map_of(queries[0], target="Scoliosis")


def test_a_head_without_weights_compares_all_features_alike():
    silent = SimpleNamespace(output_index=lambda name: 0, head=(np.zeros((5, 1), np.float32), np.zeros(1, np.float32)))
    np.testing.assert_array_equal(weigh_features(silent, OTHER), np.ones(5))


def test_weights_are_of_mean_one_and_blind_to_their_sign(models):
    weights = weigh_features(models.classifier, OTHER)
    assert weights.shape == (models.classifier.model.get_layer("logits").kernel.shape[0],)
    assert weights.min() >= 0 and weights.mean() == pytest.approx(1)


def test_a_question_without_an_index_of_its_own_is_searched_by_the_methods_that_need_no_saliency_classifier(
    retriever, queries
):
    assert OTHER in retriever.questions and OTHER not in retriever.targets
    assert retriever.methods(OTHER) == tuple(name for name in retriever.methods() if name != "ig_cbir")
    for method in retriever.methods(OTHER):
        own, other = (retriever.search(queries[5], SearchSettings(4, method, target)) for target in (None, OTHER))
        assert [hit.case.case_id for hit in own.hits] == [hit.case.case_id for hit in other.hits]
        assert other.target == OTHER and other.base_rate == own.base_rates[OTHER] != own.base_rate
    case = retriever.search(queries[5], SearchSettings(1, target=OTHER)).hits[0].case
    assert retriever.explain_pair(queries[5], case, None, OTHER).first.values.any()
    with pytest.raises(UnknownNameError, match="ig_cbir"):
        retriever.search(queries[5], SearchSettings(4, "ig_cbir", OTHER))
    with pytest.raises(UnknownNameError):
        retriever.search(queries[5], SearchSettings(target="Scoliosis"))


def test_the_base_rates_are_those_of_the_eligible_cases(retriever, queries):
    ranking = retriever.search(queries[5], SearchSettings(filter=SearchFilter(view="AP")), TRAIL)
    cases = [
        one for one in retriever.workspace.catalogue.cases() if one.view == "AP" and one.case_id != queries[5].case_id
    ]
    cases = [one for one in cases if one.patient != queries[5].patient]
    for name, share in ranking.base_rates.items():
        assert share == pytest.approx(sum(name in case.present for case in cases) / len(cases))
