"""Networks: device choice, building, training, calibration, the classifier and the starter models."""
