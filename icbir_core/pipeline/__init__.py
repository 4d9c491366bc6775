"""What ties the rooms together: indexing, the demonstration."""
