"""The few functions that a program needs to search: open a workspace, read a film, save a map over a film.

Their names, and those of the types that they give and take, stand in `icbir_core.__all__`: import them from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from icbir_core.errors import RadiographError
from icbir_core.files import PathLike
from icbir_core.types import Case, Query

if TYPE_CHECKING:
    from icbir_core.retrieval.retriever import Retriever


def open_retriever(path: PathLike, target: str | None = None, device: str = "auto") -> Retriever:
    """Open an indexed workspace for searching.

    Parameters
    ----------
    path : str or Path
        The folder of the workspace.
    target : str, optional
        The finding whose networks are used; without it, the one that was indexed first.
    device : {"auto", "cpu", "gpu"}
        Where the networks run; "auto" takes a GPU where there is one.

    Returns
    -------
    Retriever
        Searches the workspace; its networks are loaded and kept.

    Raises
    ------
    WorkspaceError
        If the folder is no workspace, or nothing in it is indexed.
    IndexMismatch
        If models, catalogue and index do not belong together.
    DeviceError
        If the device is not there.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> retriever.default_target
    'Effusion'
    """
    from icbir_core.retrieval.retriever import Retriever

    return Retriever.open(path, target, device)


def read_film(retriever: Retriever, path: PathLike) -> Query:
    """Read a film to search with.

    Parameters
    ----------
    retriever : Retriever
        Of the workspace that will be searched: the patient is hashed as it hashes the patients of its cases.
    path : str or Path
        A PNG, JPEG or DICOM file; the content decides which.

    Returns
    -------
    Query
        Named after the file; its `radiograph` holds the decoded pixels, float32 (H, W) in [0, 1].

    Raises
    ------
    RadiographError
        If the file holds no film that can be read.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> film = icbir.read_film(retriever, "film.png")
    >>> film.name, film.radiograph.pixels.ndim
    ('film', 2)
    """
    from icbir_core.catalogue import read_query

    return read_query(retriever.workspace, Path(path).stem, Path(path))


def save_overlay(
    retriever: Retriever,
    film: Query | Case,
    path: PathLike,
    method: str | None = None,
    finding: str | None = None,
    scale: float | None = None,
    threshold: float | None = None,
) -> float:
    """Write a film with its saliency map and a colour bar as a PNG file.

    A map that is made pixel by pixel is smoothed for the picture, which says so, and says if the map is faint or empty.

    Parameters
    ----------
    retriever : Retriever
        Of the workspace whose networks compute the map.
    film : Query or Case
        What `read_film` gave, or the case of a hit.
    path : str or Path
        The PNG file to write; what stood there is replaced once the new picture is whole.
    method : str, optional
        A saliency method; `icbir explain --help` lists them. Without it, the one that the page draws first.
    finding : str, optional
        What the map is of; without it, the retriever's default target.
    scale : float, optional
        The value that gets the last colour; without it, the map's own. Give several pictures one scale to compare them.
    threshold : float, optional
        The part of the scale, 0 to 1, from which on the map is shown; without it, where its strongest tenth begins.

    Returns
    -------
    float
        The scale that was used.

    Raises
    ------
    UnknownNameError
        If no such method or finding is known.
    WorkspaceError
        If the film of the case is missing.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> retriever = icbir.open_retriever("workspaces/demo")
    >>> film = icbir.read_film(retriever, "film.png")
    >>> nearest = retriever.search(film).hits[0].case
    >>> scale = icbir.save_overlay(retriever, film, "film-map.png")
    >>> scale == icbir.save_overlay(retriever, nearest, "nearest-map.png", scale=scale)
    True
    """
    import cv2

    from icbir_core.catalogue import read_case_radiograph
    from icbir_core.files import write_bytes_atomically
    from icbir_core.radiograph.overlay import OverlayStyle, attach_legend, render_overlay, shared_scale
    from icbir_core.saliency.display import SMOOTHED, find_threshold, is_smoothed, name_strength, smooth_for_display
    from icbir_core.saliency.methods import SALIENCY_METHODS

    saliency = smooth_for_display(retriever.map_of(film, method, finding))
    radiograph = film.radiograph if isinstance(film, Query) else read_case_radiograph(retriever.workspace, film)
    used = shared_scale([saliency.values]) if scale is None else scale
    shown = find_threshold(saliency.values, used, saliency.signed) if threshold is None else threshold
    style = OverlayStyle(signed=saliency.signed, threshold=shown)
    picture = render_overlay(radiograph.pixels, saliency.values, style, used)
    title = f"{SALIENCY_METHODS[saliency.method].title}, map of {saliency.finding}"
    title += f", {SMOOTHED}" if is_smoothed(saliency.method) else ""
    word = name_strength(saliency, used, shown)
    title += f" ({word})" if word else ""
    picture = attach_legend(picture, style, used, title)
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise RadiographError(f"The picture for '{path}' cannot be written as PNG.")
    write_bytes_atomically(path, data.tobytes())
    return used
