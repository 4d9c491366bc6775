"""A saliency method: the size of the score's gradient at each pixel (Simonyan et al. 2014)."""

import keras
import numpy as np
import tensorflow as tf


def compute_maps(model: keras.Model, inputs: np.ndarray, index: int) -> np.ndarray:
    """float32 (N, S, S), not negative, of standardised inputs (N, S, S, 3) and the number of an output."""
    scores = keras.Model(model.input, model.get_layer("logits").output)
    film = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(film)
        score = tf.reduce_sum(scores(film, training=False)[:, index])
    return np.abs(np.asarray(tape.gradient(score, film))).max(axis=-1)
