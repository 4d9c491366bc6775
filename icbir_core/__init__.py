"""ICBIR: interpretability-guided case retrieval for chest radiographs.

The public names stand in `__init__.pyi`, and README.md shows them in use. Importing this package loads neither
TensorFlow nor Annoy nor Streamlit: a name brings what it needs when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
