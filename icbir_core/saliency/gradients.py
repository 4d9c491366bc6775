"""The methods of tf-explain 0.3.1, as numbers, on the logit of one finding: four by its static pieces in a compiled
graph, and occlusion, of which none of its code is used.

tf-explain predates Keras 3 and its `explain` returns blended pictures, so only the pieces that compute are called. What
is done otherwise than there, and why:

- every gradient is that of the finding's logit. Its SmoothGrad takes the cross-entropy against a one-hot class, which
  assumes a softmax: on a single sigmoid output that loss is constant and the map is zero;
- Grad-CAM has no guided gradients and ends in the ReLU of the paper; the layer is named, never searched for;
- integrated gradients are multiplied by (x - baseline), which it forgets, and sampled at midpoints, so that they sum to
  the difference of the logits (completeness); the baseline is its own: 0, the mean grey of the training pictures;
- SmoothGrad's noise is the same for every film and call, so that a map does not depend on what is beside it;
- occlusion is written anew: it covers with the mean grey (127.5 there lies far outside a standardised input), with
  overlap, in batches.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tf_explain.core.grad_cam import GradCAM
from tf_explain.core.gradients_inputs import GradientsInputs
from tf_explain.core.integrated_gradients import IntegratedGradients

from icbir_core.errors import SaliencyError
from icbir_core.model.layer_names import FEATURE_LAYER, LOGITS_LAYER
from icbir_core.saliency.occlusion import occlude

CHUNK = 8
NOISE_SAMPLES = 16
NOISE_LEVEL = 0.15
PATH_STEPS = 32


def _compile(compute: Callable[..., Any], picture: tf.TensorSpec) -> Callable[..., Any]:
    return tf.function(  # type: ignore[no-any-return]
        compute, input_signature=[picture, tf.TensorSpec((), tf.int32)], autograph=False
    )


class GradientExplainer:
    """Gradient methods and occlusion for one network; graphs are compiled at first use and serve every finding.

    model : functional keras model with the layers "relu" (last feature map) and "logits". All methods take standardised
    inputs, float32 (N, S, S, 3), and the output's index, and return signed float32 (N, S, S), summed over channels.
    """

    def __init__(self, model: keras.Model):
        for name in (FEATURE_LAYER, LOGITS_LAYER):
            if name not in {layer.name for layer in model.layers}:
                raise SaliencyError(f"The network has no layer '{name}'; build it with icbir_core.model.")
        self.scores = keras.Model(model.input, model.get_layer(LOGITS_LAYER).output)
        picture = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)
        chunk = tf.TensorSpec((CHUNK, *model.input.shape[1:]), tf.float32)
        self._filters = _compile(self._filters_and_gradients, picture)
        self._mean = _compile(self._mean_gradient, chunk)
        self._product = _compile(self._gradient_product, picture)
        self._score = _compile(self._chosen_score, picture)

    def _filters_and_gradients(self, inputs: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with warnings.catch_warnings():
            # The nested list that tf-explain hands to the model only looks unlike the model's input structure.
            warnings.filterwarnings("ignore", message="The structure of `inputs`")
            features, gradients = GradCAM.get_gradients_and_filters(
                self.scores, inputs, FEATURE_LAYER, index, use_guided_grads=False
            )
        return features, gradients

    def _mean_gradient(self, inputs: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return IntegratedGradients.get_integrated_gradients.python_function(inputs, self.scores, index, CHUNK)[0]

    def _gradient_product(self, inputs: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(GradientsInputs.compute_gradients.python_function(inputs, self.scores, index), axis=-1)

    def _chosen_score(self, inputs: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return self.scores(inputs, training=False)[:, index]

    def score(self, inputs: np.ndarray, index: int) -> np.ndarray:
        """The finding's logit, float32 (N,)."""
        return np.asarray(self._score(inputs, tf.constant(index)))

    def grad_cam(self, inputs: np.ndarray, index: int) -> np.ndarray:
        """ReLU of the last feature map weighted by its mean gradient, enlarged linearly (Selvaraju et al. 2017)."""
        features, gradients = self._filters(inputs, tf.constant(index))
        maps = tf.nn.relu(tf.stack(GradCAM.generate_ponderated_output(features, gradients)))
        return np.asarray(tf.image.resize(maps[..., None], inputs.shape[1:3]))[..., 0]

    def gradients_inputs(self, inputs: np.ndarray, index: int) -> np.ndarray:
        """Gradient times input (Shrikumar et al. 2016)."""
        return np.asarray(self._product(inputs, tf.constant(index)))

    def _average(self, points: np.ndarray, index: int) -> np.ndarray:
        """The gradient averaged over points (P, S, S, 3), P a multiple of CHUNK: float32 (S, S, 3)."""
        chunks = [points[start : start + CHUNK] for start in range(0, len(points), CHUNK)]
        means = [np.asarray(self._mean(chunk.astype(np.float32), tf.constant(index))) for chunk in chunks]
        return np.asarray(np.mean(means, axis=0))

    def smooth_grad(self, inputs: np.ndarray, index: int) -> np.ndarray:
        """The gradient averaged over noisy copies; noise 15 % of the film's range (Smilkov et al. 2017)."""
        noise = np.random.default_rng(0).normal(0, 1, (NOISE_SAMPLES, *inputs.shape[1:])).astype(np.float32)
        maps = [self._average(one + NOISE_LEVEL * np.ptp(one) * noise, index).sum(axis=-1) for one in inputs]
        return np.asarray(maps, np.float32)

    def integrated_gradients(self, inputs: np.ndarray, index: int, steps: int = PATH_STEPS) -> np.ndarray:
        """(x - baseline) times the mean gradient on the straight path (Sundararajan et al. 2017, eq. 1 and 3).

        steps : midpoints on the path, a multiple of 8. Sums to logit(x) - logit(baseline) up to the path's sampling.
        """
        maps = []
        for one in inputs:
            half = one / (2 * steps)
            path = np.stack(IntegratedGradients.generate_linear_path(half, one - half, steps))
            maps.append((one * self._average(path, index)).sum(axis=-1))
        return np.asarray(maps, np.float32)

    def occlusion(self, inputs: np.ndarray, index: int) -> np.ndarray:
        """How far the logit falls when a square is covered with mean grey; see `occlude`."""
        return np.stack([occlude(one, lambda films: self.score(films, index), 0.0) for one in inputs])


_explainers: weakref.WeakKeyDictionary[keras.Model, GradientExplainer] = weakref.WeakKeyDictionary()


def _by(name: str) -> Callable[[keras.Model, np.ndarray, int], np.ndarray]:
    """A method of `GradientExplainer` as a function of the network, whose graphs are kept."""

    def compute(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
        if model not in _explainers:
            _explainers[model] = GradientExplainer(model)
        found: np.ndarray = getattr(_explainers[model], name)(inputs, index)
        return found

    return compute


compute_grad_cam, compute_smooth_grad = _by("grad_cam"), _by("smooth_grad")
compute_integrated_gradients, compute_gradients_inputs = _by("integrated_gradients"), _by("gradients_inputs")
compute_occlusion = _by("occlusion")
