"""The layers of a network that the rooms above ask for by name. Importing it loads nothing."""

FEATURE_LAYER = "relu"
"""The last feature map."""
PENULTIMATE_LAYER = "avg_pool"
"""The penultimate features: the mean of the last feature map over its positions."""
LOGITS_LAYER = "logits"
"""The score of each finding before the sigmoid."""
