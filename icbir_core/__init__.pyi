from .api import open_retriever, read_film, save_overlay
from .catalogue import Workspace
from .errors import IcbirError
from .retrieval.retriever import Retriever
from .settings import SearchFilter, SearchSettings
from .types import Case, Hit, Query, Radiograph, Ranking

__all__ = [
    "Case",
    "Hit",
    "IcbirError",
    "Query",
    "Radiograph",
    "Ranking",
    "Retriever",
    "SearchFilter",
    "SearchSettings",
    "Workspace",
    "open_retriever",
    "read_film",
    "save_overlay",
]
__version__: str
