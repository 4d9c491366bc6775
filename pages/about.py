"""About: what this is for, what it rests on, what it must not be used for."""

from __future__ import annotations

import json
import platform

import streamlit as st

from icbir_core import __version__
from icbir_ui import shared
from icbir_ui.errors import escape_markdown, shielded
from icbir_ui.frame.page import run_page
from icbir_ui.language import count_of, mark, say, translate_told
from icbir_ui.model_cards import find_cards, tabulate_performance
from icbir_ui.state import NOTICE

USE = mark("""
ICBIR shows past chest films that resemble a given one, and for each the places where a network looked for a
finding. It is made for **research and education**: to study whether such a search helps, to teach, to compare methods.
It must not be used to diagnose, to exclude a finding, to triage, or to decide on treatment.
""")
METHOD = mark("""
The search follows Silva, Poellinger, Cardoso and Reyes (2020): a classifier is trained on films; its heat maps
(deep Taylor decomposition) train a second network; two films are near when that second network's features of their
heat maps are near (IG-CBIR). Beside it stand the classifier's own features, raw (CNN) and centred on the catalogue's
average film, and the structural similarity of the films (SSIM).

The search starts with the **centred features**, of two networks side by side where an index has them: on films of
other patients they found the same findings most often.
They compare no heat maps; IG-CBIR was not shown to be better than raw features, nor than every control.
""")
LIMITS = mark("""
- A near case is near **for the network**. It need not have the same cause, and a far one may.
- A heat map shows what moved a number, not where a lesion is. It can be sharp and wrong.
- Probabilities are calibrated on held-back films of the training data; on films of another hospital they may be off.
  With the starter models they are the mean of two networks, and a heat map explains the first of them alone.
- Labels of public data sets were mostly read from reports by a program; some are wrong. Unknown is not absent.
- Only frontal films are searched. Lateral films, children, and films with large implants are outside what was tested.
- A distance in plain words is compared with the nearest pairs of this catalogue; in another catalogue the same words
  mean another distance.
- A film is shown with the window that its file names; the viewer's window, in per cent, is applied after that. R and L
  are shown only where the file states the orientation.
""")
CITATIONS = """
- W. Silva, A. Poellinger, J. S. Cardoso, M. Reyes. Interpretability-guided Content-based Medical Image Retrieval.
  MICCAI 2020, LNCS 12261, 305–314. doi:10.1007/978-3-030-59710-8_30
- G. Montavon, S. Lapuschkin, A. Binder, W. Samek, K.-R. Müller. Explaining nonlinear classification decisions with deep
  Taylor decomposition. Pattern Recognition 65, 211–222, 2017. doi:10.1016/j.patcog.2016.11.008
- G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
- C. J. Cai et al. Human-Centered Tools for Coping with Imperfect Algorithms During Medical Decision-Making. CHI 2019.
- Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli. Image quality assessment: from error visibility to structural
  similarity. IEEE Transactions on Image Processing 13(4), 600–612, 2004.
- F. Crameri. Scientific colour maps. Zenodo, 2018. doi:10.5281/zenodo.1243862 (the colours of signed maps)
"""


def draw() -> None:
    use, cards, versions, citations = st.tabs(
        [say("Use and limits"), say("Model cards"), say("Versions"), say("Method and citations")]
    )
    with use:
        left, right = st.columns(2, gap="large")
        left.subheader(say("What it is for"))
        left.markdown(f"**{say(NOTICE)}**\n{say(USE)}")
        right.subheader(say("Limits"))
        right.markdown(say(LIMITS))
    with cards, shielded():
        show_cards()
    with versions, shielded():
        show_versions()
    with citations:
        st.markdown(say(METHOD))
        st.markdown(CITATIONS)


def show_cards() -> None:
    """What each network says of itself, the weakest point first."""
    found = find_cards(shared.open_workspace())
    if not found:
        st.markdown(say("No networks yet. Train them, or index the workspace with the starter models."))
    for card in found:
        st.subheader(escape_markdown(translate_told(card.title)))
        if card.weakness:
            st.markdown(f":orange[{escape_markdown(translate_told(card.weakness))}]")
        manifest = card.manifest
        films = manifest.get("films") or {}
        size = (manifest.get("input") or {}).get("size")
        facts = [manifest.get("network"), say("input {size} pixels", size=size) if size else None]
        facts += [
            f"{count_of(count, 'film')} {translate_told(word.replace('_', ' '))}"
            for word, count in films.items()
            if isinstance(count, int)
        ]
        facts += [say("made {day}", day=manifest["made"][:10])] if manifest.get("made") else []
        facts += [f"sha256 {str(manifest['sha256'])[:16]}…"] if manifest.get("sha256") else []
        st.caption(escape_markdown(" · ".join(str(fact) for fact in facts if fact)))
        if manifest.get("auroc"):
            rows = [{say(name): told for name, told in row.items()} for row in tabulate_performance(card)]
            rows = [row | {say("Finding"): translate_told(row[say("Finding")])} for row in rows]
            st.dataframe(rows, hide_index=True, height="content")
        with st.expander(say("The whole card")):
            shown = {name: value for name, value in manifest.items() if name != "training"}
            kept = (manifest.get("training") or {}).items()
            training = {name: value for name, value in kept if name not in ("history", "held_back")}
            st.code(json.dumps({**shown, "training": training}, indent=2, default=str), language="json")


def show_versions() -> None:
    """This program, its main packages, and every artefact of the workspace with its hash."""
    from importlib.metadata import version

    packages = ("onnxruntime", "tensorflow", "keras", "numpy", "streamlit", "annoy", "pydicom", "opencv-python")
    rows = [
        ("ICBIR", __version__),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in packages),
    ]
    left, right = st.columns([1, 2], gap="large")
    left.dataframe([{say("Program"): name, say("Version"): text} for name, text in rows], hide_index=True)
    workspace = shared.open_workspace()
    artefacts = workspace.read_manifest()["artefacts"]
    right.dataframe(
        [
            {
                say("Artefact"): name,
                "sha256": str(entry.get("sha256", ""))[:24],
                say("Recorded"): str(entry.get("recorded", "")),
            }
            for name, entry in sorted(artefacts.items())
        ],
        hide_index=True,
    )


run_page("About", draw)
