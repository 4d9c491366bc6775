"""A backbone of three convolutions. One activation has no rule of relevance propagation: maps come by Grad-CAM."""

import keras


def build_thin(size: int, imagenet: bool) -> keras.Model:
    """Feature maps (N, size / 8, size / 8, 24) of standardised films (N, size, size, 3), not negative."""
    x = inputs = keras.Input((size, size, 3))
    for number, channels in enumerate((8, 16, 24), start=1):
        x = keras.layers.Conv2D(channels, 3, 2, padding="same", name=f"conv{number}")(x)
        name = "relu" if number == 3 else f"relu{number}" if number == 1 else "squash"
        x = keras.layers.Activation("softplus" if name == "squash" else "relu", name=name)(x)
    return keras.Model(inputs, x, name="thin")
