"""What ties the rooms together: training both stages, indexing, the demonstration."""
