"""The film on screen as a DICOM file without identifiers, with the rectangles that the reader drew blacked out."""

from __future__ import annotations

import io
import zipfile
from functools import partial

import streamlit as st

from icbir_core.access import Right
from icbir_core.audit import Action
from icbir_core.catalogue import Workspace
from icbir_core.deidentifying.masking import find_masks
from icbir_core.errors import IcbirError
from icbir_core.pacs.destination import read_destination
from icbir_ui import access
from icbir_ui.annotations import get_annotations
from icbir_ui.export.controls import make_or_say
from icbir_ui.films import Film
from icbir_ui.language import count_of, say, speak_english


def show_deidentified(film: Film, workspace: Workspace) -> None:
    """The button and what is done against text in the picture; nothing where no DICOM objects may leave, and for a film
    whose file is not held."""
    person = access.get_person()
    try:
        allowed = read_destination().makes_objects and person.may(Right.EXPORT_DICOM)
    except IcbirError:  # told above, where the result is offered
        return
    if not allowed or not film.original or film.source is None:
        return
    from icbir_core.deidentifying.film import Clearance, deidentify_film  # brings the decoders: only where it is needed

    masks = find_masks(get_annotations(film.key).items)
    looked = False
    if masks:
        asked = say("Black out what I framed: {rectangles}", rectangles=count_of(len(masks), "rectangle"))
        masks = masks if st.checkbox(asked, value=True, key=f"mask_{film.key[:12]}") else ()
    elif film.source.may_show_text:
        st.caption(say("To black out text, draw rectangles over it."))
    if not masks and film.source.may_show_text:
        looked = st.checkbox(say("I have looked: no text in the picture"), key=f"looked_{film.key[:12]}")
    clearance, recorder, about = Clearance(masks, looked), access.get_recorder(), access.name_film(film)

    def pack() -> bytes:  # outside of the session, so with what the person was when the page was drawn
        person.require(Right.EXPORT_DICOM)
        made = deidentify_film(film.original, workspace, clearance)
        recorder.record(Action.EXPORTED, about, format="deidentified")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{made.instance}.dcm", made.data)
            if made.warnings:
                archive.writestr("READ_ME.txt", "".join(f"{one}\n" for one in made.warnings))
        return packed.getvalue()

    label, name = say("Film without identifiers (ZIP)"), f"icbir-{film.key[:8]}-without-identifiers.zip"
    zipped = speak_english(partial(make_or_say, pack, "zip"))
    st.download_button(label, zipped, name, "application/zip", on_click="ignore", width="stretch")
