"""What a reader drew on films: held in her session by the film's own hash, whichever page it was drawn on."""

from __future__ import annotations

from icbir_core.annotation.records import FilmAnnotations
from icbir_ui import state
from icbir_ui.state import Key

MOST_FILMS = 200


def list_annotations() -> dict[str, FilmAnnotations]:
    """Film hash → what was drawn on it, of all films of this session, the one that was changed last at the end."""
    return dict(state.get(Key.ANNOTATIONS) or {})


def get_annotations(identity: str) -> FilmAnnotations:
    """What was drawn on the film whose pixels have this hash."""
    return list_annotations().get(identity, FilmAnnotations())


def put_annotations(identity: str, drawn: FilmAnnotations) -> None:
    """Hold what was drawn on a film; an earlier state than the one that is held changes nothing."""
    held = list_annotations()
    if drawn.number < held.get(identity, FilmAnnotations()).number:
        return
    held.pop(identity, None)
    kept = list({**held, identity: drawn}.items())[-MOST_FILMS:]
    state.put(Key.ANNOTATIONS, dict(kept))


def take_annotations(identity: str, told: object) -> None:
    """Hold what the browser says was drawn on a film. Raises `AnnotationError` for what is no annotation."""
    put_annotations(identity, FilmAnnotations.from_record(told))
