"""From a radiograph to a ranking: embedding, index, retriever and refinement. Importing it loads nothing heavy."""
