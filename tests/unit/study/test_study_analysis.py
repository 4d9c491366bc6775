"""Simulated readers of known bias, noise and lapses: each statistic finds what was put in."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, special, stats

from icbir_core.cli import main
from icbir_core.errors import StudyError
from icbir_core.evaluation import agreement
from icbir_core.evaluation.page import show_interval, show_number
from icbir_core.study.analysis import StudyResult, analyse_study
from icbir_core.study.design import Study
from icbir_core.study.rating import Rating
from icbir_core.study.report import draw_methods, make_sections, render_report, render_text
from icbir_core.study.simulated_readers import ReaderModel, simulate_reader
from icbir_core.study.store import RatingsStore

TWO, THREE = (ReaderModel(),) * 2, (ReaderModel(),) * 3
GUIDE = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"


def fit_reader(scores: np.ndarray, reference: np.ndarray) -> ReaderModel:
    """Bias, noise and lapse of a reader by maximum likelihood, given her scores (n,) and a reference similarity (n,).

    With the consensus of other readers as the reference, its error counts as noise. NaN pairs are left out.
    """
    scores, reference = np.asarray(scores, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    known = np.isfinite(scores) & np.isfinite(reference)
    scores, reference = scores[known], reference[known]
    low = np.where(scores <= 1, -np.inf, scores - 0.5)
    high = np.where(scores >= 5, np.inf, scores + 0.5)

    def loss(values: np.ndarray) -> float:
        bias, noise, lapse = values[0], np.exp(values[1]), special.expit(values[2])
        centre = reference + bias
        inside = stats.norm.cdf((high - centre) / noise) - stats.norm.cdf((low - centre) / noise)
        return float(-np.log(np.maximum((1 - lapse) * inside + lapse / 5, 1e-12)).sum())

    best = min(
        (optimize.minimize(loss, [0.0, start, lapse], method="Nelder-Mead", options={"maxiter": 800})
         for start in (-1.0, 0.0) for lapse in (-4.0, -1.0)),
        key=lambda result: result.fun,
    )  # fmt: skip
    return ReaderModel(float(best.x[0]), float(np.exp(best.x[1])), float(special.expit(best.x[2])))


@pytest.mark.parametrize("model", [ReaderModel(0.4, 0.6, 0.0), ReaderModel(-0.3, 0.4, 0.15), ReaderModel(0, 0.9, 0.05)])
def test_bias_noise_and_lapses_are_recovered(model):
    generator = np.random.default_rng(0)
    truth = generator.uniform(1, 5, 4000)
    found = fit_reader(model.score(truth, generator), truth)
    assert found.bias == pytest.approx(model.bias, abs=0.06)
    assert found.noise == pytest.approx(model.noise, abs=0.07)
    assert found.lapse == pytest.approx(model.lapse, abs=0.035)


def test_agreement_has_the_value_that_the_variances_give():
    """ICC(2,1) = truth / (truth + bias + noise + rounding), the rounding of a step being 1/12."""
    generator = np.random.default_rng(1)
    truth = generator.normal(3, 0.7, 3000)
    biases, noise = np.array([-0.3, 0.0, 0.3]), 0.5
    scores = np.stack([ReaderModel(b, noise).score(truth, generator) for b in biases]).astype(float)
    expected = 0.7**2 / (0.7**2 + biases.var(ddof=1) + noise**2 + 1 / 12)
    assert agreement.intraclass_correlations(scores)[0] == pytest.approx(expected, abs=0.03)


def test_more_noise_or_lapses_means_less_of_every_agreement():
    generator = np.random.default_rng(2)
    truth = generator.uniform(1, 5, 800)
    table = []
    for model in (ReaderModel(noise=0.2), ReaderModel(noise=0.8), ReaderModel(noise=0.8, lapse=0.4)):
        scores = np.stack([model.score(truth, generator) for _ in range(3)]).astype(float)
        table.append(
            [
                agreement.krippendorff_alpha(scores),
                agreement.intraclass_correlations(scores)[0],
                agreement.kendall_w(scores)[0],
                agreement.pairwise(scores, agreement.kendall_tau).mean(),
                agreement.pairwise(scores, agreement.weighted_kappa).mean(),
            ]
        )
    assert (np.diff(np.array(table), axis=0) < -0.05).all()


@dataclass(frozen=True)
class ReadStudy:
    """A study, its newest ratings, and what they say."""

    study: Study
    ratings: list[Rating]
    result: StudyResult


@pytest.fixture(scope="module")
def read_study(make_known_study, true_similarity, tmp_path_factory) -> Callable[..., ReadStudy]:
    """Studies that simulated readers have read; the same one for all tests that ask alike."""

    @functools.cache
    def read(*models: ReaderModel, tasks: tuple[str, ...] = ("similarity",), stages: int = 1) -> ReadStudy:
        study = make_known_study(queries=6, tasks=tasks, stages=stages)
        store = RatingsStore.open(tmp_path_factory.mktemp("read") / "r.db")
        for number, model in enumerate(models):
            simulate_reader(store, study, f"simulated-{number}", model, true_similarity, seed=number)
        ratings = store.latest(study=study.name)
        store.close()
        return ReadStudy(study, ratings, analyse_study(study, ratings, simulated=True))

    return read


def test_a_simulated_study_says_what_was_put_in(read_study):
    models = [ReaderModel(bias, 0.4, map_effect=0.6, seconds=6) for bias in (-0.4, 0.0, 0.4)]
    result = read_study(*models, tasks=("similarity", "ranking", "choice"), stages=2).result
    offsets = list(result.between_readers["reader_mean_offset"].values())
    assert offsets[0] < -0.2 < 0.2 < offsets[2]
    for reader in result.readers:  # repeats: noise 0.4 and rounding, √(0.16 + 1/12) = 0.49
        assert 0.2 < result.within_readers[reader]["standard_deviation"] < 0.8
    good, random = (result.methods[name]["ndcg"]["value"] for name in ("good", "random"))
    chance = result.methods["random"]["chance"]["chance"]
    assert good > chance + 0.1 and abs(random - chance) < 0.1
    assert result.methods["good"]["chance"]["p_value"] < 0.01 < result.methods["random"]["chance"]["p_value"]
    assert result.comparisons[0]["p_corrected"] < 0.05 and result.comparisons[0]["difference"]["low"] > 0
    assert result.maps["change_of_score"]["difference"]["value"] == pytest.approx(0.55, abs=0.2)
    assert result.methods["readers_among_themselves"]["ndcg"]["value"] > random
    assert result.ranking["kendall_w"]["value"] > 0.7
    assert result.choices["good"]["value"] > 0.75 > result.choices["random"]["value"]
    assert result.times["all, without maps"]["median"] == pytest.approx(6, rel=0.2)


def test_simulated_ratings_are_never_mixed_with_real_ones(read_study):
    read = read_study(*THREE)
    study = read.study
    with pytest.raises(StudyError, match="has no ratings"):
        analyse_study(study, read.ratings)
    query = study.queries[0]
    real = Rating(study=study.name, session="s", reader="simulated-0", query=query.case_id,
                  case_id=query.candidates[0].case_id, score=5, blinded=True)  # fmt: skip
    mixed = [*read.ratings, real]
    assert analyse_study(study, mixed).counts["ratings"] == 1
    assert analyse_study(study, mixed, simulated=True).counts == read.result.counts
    assert read.result.counts["ratings"] == len(read.ratings)


def test_unblinded_ratings_stay_out_and_refusals_are_missing_not_low(read_study):
    read = read_study(*[ReaderModel(cannot_judge=0.3)] * 3)
    study, query = read.study, read.study.queries[0]
    seen = Rating(study=study.name, session="s", reader="x", query=query.case_id, simulated=True,
                  case_id=query.candidates[0].case_id, score=5, blinded=False)  # fmt: skip
    result = analyse_study(study, [*read.ratings, seen], simulated=True)
    assert "x" not in result.readers and result.counts["cannot_judge"] > 0
    assert result.between_readers["krippendorff_alpha"]["value"] > 0.6
    assert any("cannot judge" in note for note in result.notes)


def test_the_report_is_one_file_that_holds_every_number_and_calls_nobody(read_study):
    read = read_study(*THREE)
    html = render_report(read.study, read.result)
    assert "SIMULATED READERS" in html and "not for diagnosis" in html
    body = re.sub(r"<script>.*?</script>", "", html, flags=re.S)  # plotly's own text names its home page
    assert 'src="http' not in body and 'href="http' not in body
    alpha = read.result.between_readers["krippendorff_alpha"]["value"]
    assert f"{alpha:.3f}" in html
    json.dumps(read.result.as_dict())


def write_out(study, result) -> str:
    """All words of the report that are not in its figures."""
    parts = []
    for section in make_sections(study, result):
        parts += [section.title, *section.paragraphs]
        for table in section.tables:
            parts += [table.caption, *table.header, *(cell for row in table.rows for cell in row)]
    return "\n".join(parts)


def test_a_report_calls_the_methods_as_the_pages_do_and_the_data_keep_the_short_names(read_study):
    read = read_study(*TWO, tasks=("similarity", "ranking", "choice"))
    named = {"good": "ig_cbir", "random": "cnn_centred"}

    def rename(text: str) -> str:
        return re.sub(r'"(good|random)"', lambda found: f'"{named[found[1]]}"', text)

    study = Study.from_dict(json.loads(rename(json.dumps(read.study.as_dict()))))
    result = analyse_study(study, read.ratings, simulated=True)
    text = write_out(study, result)
    assert "Methods pooled: Heat map (IG-CBIR); Network features, centred." in text
    assert "Heat map (IG-CBIR) − Network features, centred" in text
    in_brackets = [f" [{name}]" for name in named.values()]
    assert all(text.count(short) == 1 for short in in_brackets)  # in the table of each method
    for short in in_brackets:
        text = text.replace(short, "")
    assert "ig_cbir" not in text and "cnn_centred" not in text
    assert list(draw_methods(result).data[0].x) == ["Heat map (IG-CBIR)", "Network features, centred"]
    assert "Heat map (IG-CBIR) [ig_cbir]: nDCG" in render_text(result)
    assert {"ig_cbir", "cnn_centred"} < set(result.as_dict()["methods"])


@pytest.mark.parametrize("stages", [1, 2])
def test_the_words_count_the_hidden_repeats_as_the_table_does(read_study, stages):
    read = read_study(ReaderModel(), stages=stages)
    text, count = write_out(read.study, read.result), len(read.study.repeats)
    assert read.result.within_readers["simulated-0"]["repeats"] == stages * count
    assert (f"{count} hidden repeats in each of the two stages." in text) == (stages == 2)
    assert text.count(", both stages") == (2 if stages == 2 else 0)


@pytest.mark.parametrize("readers", [1, 2])
def test_the_band_is_spoken_of_where_there_is_one(read_study, readers):
    read = read_study(*TWO[:readers])
    assert ("The band is" in write_out(read.study, read.result)) == (readers == 2)
    assert ("band between readers" in write_out(read.study, read.result)) == (readers == 2)


def test_a_small_study_names_the_guide_whose_command_plans_sizes(read_study):
    result = read_study(ReaderModel()).result
    assert any("the guide to evaluation says how" in note for note in result.notes)
    (command,) = re.findall(r"^    icbir (study plan .*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert main(command.split()) == 0


def test_a_number_below_zero_has_a_true_minus(read_study):
    assert show_number(-0.329) == "−0.329" and show_number(-0.0001) == "0.000"
    assert show_interval({"value": -0.1, "low": -0.2, "high": 0.3}) == "−0.100 [−0.200, 0.300]"
    read = read_study(*TWO)
    between = read.result.between_readers | {"weighted_kappa_pairs": {"a / b": -0.329}}
    between["reader_mean_offset"] = {"simulated-0": -0.25, "simulated-1": 0.25}
    text = write_out(read.study, replace(read.result, between_readers=between)).replace("simulated-", "")
    assert "−0.329" in text and "−0.25" in text and not re.search(r"-\d", text)
