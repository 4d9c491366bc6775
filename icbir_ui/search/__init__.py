"""The page Search: where it begins, its controls, what it asks, its panes, its address and its ratings."""
