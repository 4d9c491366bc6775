"""The page Compare: the reader's film beside one case or four."""
