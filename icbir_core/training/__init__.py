"""Training on a workspace's films: both stages of the method, and the networks that checks and controls train."""
