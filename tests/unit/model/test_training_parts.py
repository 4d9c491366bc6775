"""Masked loss, class weights, patient-disjoint split and batches that depend on seed, epoch and place alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from icbir_core.errors import TrainingError, UnknownNameError
from icbir_core.model import training
from icbir_core.model.network import named_weights
from icbir_core.model.recipes import RECIPES, Augmentation, Recipe, find_recipe
from icbir_core.model.training import make_masked_loss, make_optimizer, weigh_positives
from icbir_core.model.training_set import Batches, TrainingSet, split_by_patient
from tests.helpers.tiny_network import tiny_networks


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """What a network learns is not asked here, so a tiny one does."""
    with tiny_networks():
        yield


def make_set(count: int = 12, shares=None) -> TrainingSet:
    random = np.random.default_rng(0)
    labels = np.tile([[1, 0], [0, 1], [0, np.nan], [1, 1]], (count // 4, 1)).astype(np.float32)
    held = np.arange(count) >= count - 4
    images = random.integers(0, 256, (count, 32, 32)).astype(np.uint8)
    return TrainingSet(images, labels, ("Effusion", "Mass"), [f"p{i}" for i in range(count)], held, shares)


def test_loss_equals_slow_form_and_ignores_unknown():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (6, 3)).astype(np.float32)
    labels[0, 1] = labels[3, 2] = np.nan
    logits = random.normal(size=(6, 3)).astype(np.float32) * 4
    weights = np.array([1.0, 2.0, 0.5])
    terms = []
    for label, logit in zip(labels, logits, strict=True):
        for one, value, weight in zip(label, logit, weights, strict=True):
            if not np.isnan(one):
                p = 1 / (1 + np.exp(-np.float64(value)))
                terms.append(-weight * np.log(p) if one else -np.log(1 - p))
    loss = make_masked_loss(weights)
    assert float(loss(labels, logits)) == pytest.approx(np.mean(terms), rel=1e-5)
    changed = logits.copy()
    changed[0, 1], changed[3, 2] = 50, -50
    assert float(loss(labels, changed)) == pytest.approx(float(loss(labels, logits)))
    assert float(loss(np.full((2, 3), np.nan, np.float32), logits[:2])) == 0


def test_no_gradient_through_unknown_labels():
    import tensorflow as tf

    logits = tf.Variable([[3.0, -2.0]])
    with tf.GradientTape() as tape:
        value = make_masked_loss(np.ones(2))(tf.constant([[np.nan, 1.0]]), logits)
    gradient = tape.gradient(value, logits).numpy()
    assert gradient[0, 0] == 0 and np.isfinite(gradient).all() and gradient[0, 1] < 0


def test_positive_weights():
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, np.nan], [0, 1]])
    np.testing.assert_allclose(weigh_positives(labels, 4), [2.0, 1.0])
    np.testing.assert_allclose(weigh_positives(labels, 1), [1.0, 1.0])


def test_split_keeps_patients_together_and_unknown_ones_in_training():
    random = np.random.default_rng(0)
    patients = [f"p{i}" for i in random.integers(0, 60, 200)] + [None] * 20
    labels = (random.random((220, 1)) > 0.7).astype(np.float32)
    held = split_by_patient(patients, labels, 0.25, seed=3)
    assert not held[200:].any()
    inside = {name for name, flag in zip(patients, held, strict=True) if flag}
    outside = {name for name, flag in zip(patients, held, strict=True) if not flag}
    assert not inside & outside
    assert 0.2 < held[:200].mean() < 0.3
    np.testing.assert_array_equal(held, split_by_patient(patients, labels, 0.25, seed=3))
    assert split_by_patient([None] * 40, labels[:40], 0.25).sum() == 10


def test_a_patient_on_both_sides_is_refused():
    good = make_set()
    with pytest.raises(TrainingError, match="both sides"):
        TrainingSet(good.images, good.labels, good.findings, ["one"] * 12, good.held_back)
    with pytest.raises(TrainingError, match="'Mass' needs films with and without it"):
        TrainingSet(good.images, good.labels * [1, 0], good.findings, good.patients, good.held_back)


def test_batches_repeat_and_cover_each_film_once():
    films = make_set()
    first = [Batches(films, 32, 4, 5, Augmentation(), epoch=2)[i] for i in range(2)]
    again = [Batches(films, 32, 4, 5, Augmentation(), epoch=2)[i] for i in range(2)]
    other = Batches(films, 32, 4, 5, Augmentation(), epoch=3)[0]
    for (images, labels), (images2, labels2) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(labels, labels2)
    assert not np.array_equal(first[0][0], other[0])
    assert first[0][0].shape == (4, 32, 32, 3) and first[0][0].dtype == np.float32
    assert sorted(Batches(films, 32, 4, 5, None).order) == list(range(8))


def test_shares_decide_what_is_drawn():
    shares = np.ones(12)
    shares[0] = 200
    drawn = Batches(make_set(shares=shares), 32, 4, 0, None, epoch_size=400).order
    assert (drawn == 0).mean() > 0.8 and drawn.max() < 8


@pytest.fixture
def half_precision():
    """Skips where the library of kernels cannot convolve in float16; the program does so on graphics cards only."""
    try:
        tf.nn.conv2d(tf.ones((1, 8, 8, 3), tf.float16), tf.ones((3, 3, 3, 8), tf.float16), 1, "SAME")
    except tf.errors.AbortedError:
        pytest.skip("no convolution in float16 with this instruction set")


@pytest.mark.usefixtures("half_precision")
def test_float16_scales_the_loss_and_its_steps_are_taken(tmp_path, monkeypatch):
    """Unscaled, the smallest gradients of a float16 layer are zero; scaled too far, the step is left out."""
    steppers = []
    monkeypatch.setattr(training, "write_checkpoint", lambda *words: steppers.append(words[-1]))
    recipe = Recipe(batch_size=4, epochs=2, patience=None, augmentation=None)
    start = training.NetworkStart("densenet_small", 32, "none", policy="mixed_float16")
    result = training.train(make_set(), recipe, tmp_path, start)
    assert isinstance(steppers[-1], keras.optimizers.LossScaleOptimizer) and int(steppers[-1].iterations) > 0
    assert all(np.isfinite(values).all() for values in result.model.get_weights())
    assert {variable.dtype for variable in result.model.variables} == {"float32"}


@pytest.fixture
def kept(monkeypatch) -> list[dict[str, np.ndarray]]:
    """The weights after each epoch of a training whose scores are given."""
    scores, kept = [0.6, 0.8, 0.7, 0.75, 0.9], []

    def score(model, trained, weights, *_):
        kept.append({name: values.copy() for name, values in weights.items()})
        return {"Effusion": (value := scores[len(kept) - 1]), "Mass": value}

    monkeypatch.setattr(training, "score_weights", score)
    return kept


START = training.NetworkStart("densenet_small", 32, "none")
RECIPE = Recipe(batch_size=8, epochs=5, patience=2, augmentation=None, learning_rate=0.01)


def test_training_stops_when_held_back_films_no_longer_gain_and_keeps_the_best(tmp_path, kept):
    result = training.train(make_set(), RECIPE, tmp_path, START)
    assert (len(result.history), result.best_epoch) == (4, 1)
    for name, values in named_weights(result.model).items():
        np.testing.assert_array_equal(values, kept[1][name])
    assert any((kept[1][name] != kept[0][name]).any() for name in kept[0])


def test_a_killed_training_goes_on_and_without_patience_the_last_weights_are_kept(tmp_path, kept):
    recipe, epochs = replace(RECIPE, patience=None, epochs=3), []

    def die(row: dict) -> None:
        epochs.append(row["epoch"])
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    whole = training.train(make_set(), recipe, tmp_path / "whole", START)
    assert whole.best_epoch == 2, "its score is not the best"
    for name, values in named_weights(whole.model).items():
        np.testing.assert_array_equal(values, kept[2][name])
    kept.clear()
    with pytest.raises(KeyboardInterrupt):
        training.train(make_set(), recipe, tmp_path / "killed", START, log=die)
    result = training.train(make_set(), recipe, tmp_path / "killed", START, log=die)
    assert epochs == [0, 1, 2] and result.run == whole.run
    assert [row["loss"] for row in result.history] == pytest.approx([row["loss"] for row in whole.history], rel=1e-3)
    for name, values in named_weights(whole.model).items():
        near = {"rtol": 1e-3, "atol": 1e-3 * float(np.abs(values).max())}
        np.testing.assert_allclose(named_weights(result.model)[name], values, **near, err_msg=name)


def test_recipes_by_name():
    assert find_recipe("silva2020").optimizer == "adadelta" and find_recipe("silva2020").view == "AP"
    with pytest.raises(UnknownNameError, match="default, silva2020"):
        find_recipe("best")
    for recipe in RECIPES.values():
        assert Recipe.from_dict(recipe.as_dict()) == recipe
    assert RECIPES["default"].augmentation.flip == 0


def test_rate_warms_up_and_falls():
    optimizer = make_optimizer(Recipe(learning_rate=1.0, epochs=10, warm_up_epochs=1), steps=100)

    def rate(step: int) -> float:
        optimizer.iterations.assign(step)
        return float(optimizer.learning_rate)

    assert rate(0) < 0.05
    assert rate(100) == pytest.approx(1.0, rel=0.01)
    assert rate(550) == pytest.approx(0.5, rel=0.05)
    assert rate(1000) == pytest.approx(0.01, rel=0.05)
    with pytest.raises(TrainingError, match="adadelta"):
        make_optimizer(Recipe(optimizer="sgd"), 1)
