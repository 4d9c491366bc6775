"""Saliency maps: where a network looked for a finding, and why two cases are near each other."""
