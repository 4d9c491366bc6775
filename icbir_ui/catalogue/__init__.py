"""The page Catalogue: films added and removed, the map of embeddings, the cases that were selected."""
