"""ICBIR: interpretability-guided case retrieval for chest radiographs.

Importing this package loads neither TensorFlow nor Annoy nor Streamlit.
"""

__version__ = "0.1.0"
