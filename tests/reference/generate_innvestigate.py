"""Write innvestigate_deep_taylor.npz: Deep Taylor maps of iNNvestigate 2.1.2 on a small DenseNet.

Two cases, because 2.1.2 is not the version that the method's authors used (1.0.8):

plain     2.1.2 untouched. It ignores biases, refuses a sigmoid head, and (its test for "ReLU layers" also matches
          batch normalisation) multiplies relevance by the normalisation's scale. Hence a network without bias and
          sigmoid, whose normalisations only shift: the ground on which both versions agree.
restored  2.1.2's own rules, put back where 1.0.8 used them: α1β0 with bias for every kernel, the w²-rule on the linear
          form of batch normalisation, a Dense head with a sigmoid.

It needs TensorFlow below 2.15, hence an environment of its own:

    python3 -m venv environment
    environment/bin/pip install innvestigate==2.1.2 "tensorflow<2.15"
    environment/bin/python tests/reference/generate_innvestigate.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

tf.compat.v1.disable_eager_execution()

import innvestigate  # noqa: E402
from innvestigate.analyzer.deeptaylor import DeepTaylor  # noqa: E402
from innvestigate.analyzer.relevance_based import relevance_rule  # noqa: E402
from innvestigate.backend import checks, graph  # noqa: E402
from small_densenet import build, random_weights  # noqa: E402


class RestoredDeepTaylor(DeepTaylor):
    """The rule table of 1.0.8."""

    def _do_model_checks(self):
        pass

    def _create_analysis(self, *arguments, **options):
        add = self._add_conditional_reverse_mapping
        add(checks.contains_kernel, relevance_rule.Alpha1Beta0Rule, name="restored_kernel", priority=10)
        normalisation = graph.apply_mapping_to_fused_bn_layer(relevance_rule.WSquareRule, fuse_mode="one_linear")
        add(checks.is_batch_normalization_layer, normalisation, name="restored_normalisation", priority=10)
        return super()._create_analysis(*arguments, **options)


def explain(analyzer_class, model, inputs) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (N, F) and maps (F, N, H, W) summed over channels."""
    outputs = model.predict(inputs, verbose=0)
    analyzer = analyzer_class(model, neuron_selection_mode="index")
    maps = [analyzer.analyze(inputs, neuron_selection=index).sum(axis=-1) for index in range(outputs.shape[1])]
    return outputs, np.stack(maps).astype(np.float32)


def main() -> None:
    inputs = np.random.default_rng(4).normal(0, 1, (3, 32, 32, 3)).astype(np.float32)
    stored = {"inputs": inputs, "versions": np.array([innvestigate.__version__, tf.__version__])}
    cases = {
        "plain": (DeepTaylor, build(tf.keras, head="linear", bias=False), 7, True),
        "restored": (RestoredDeepTaylor, build(tf.keras, head="fused", bias=True), 5, False),
    }
    for name, (analyzer_class, model, seed, unit_scale) in cases.items():
        weights = random_weights(model, seed, unit_scale)
        model.set_weights(weights)
        stored[f"{name}_outputs"], stored[f"{name}_maps"] = explain(analyzer_class, model, inputs)
        stored |= {f"{name}_weight_{index:03d}": weight for index, weight in enumerate(weights)}
        print(name, stored[f"{name}_outputs"], stored[f"{name}_maps"].sum(axis=(2, 3)))
    np.savez_compressed(Path(__file__).with_name("innvestigate_deep_taylor.npz"), **stored)


if __name__ == "__main__":
    main()
