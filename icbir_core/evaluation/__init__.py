"""Is the retrieval any good: metrics, controls, protocols, agreement between readers, reports."""
