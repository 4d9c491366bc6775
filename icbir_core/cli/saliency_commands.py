"""Commands of the saliency maps: explain, checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icbir_core.cli import conventions as cli
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.saliency.methods import FIRST_MAP, choose_map

if TYPE_CHECKING:
    import numpy as np

    from icbir_core.catalogue import Workspace
    from icbir_core.saliency.checks import CheckRow
    from icbir_core.settings import InputSettings
    from icbir_core.training.shuffled_labels import ShuffleOptions
    from icbir_core.types import Radiograph, SaliencyMap


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(explain)
    app.command()(checks)


def explain(
    workspace: Annotated[Path | None, typer.Argument(metavar="WORKSPACE", help="Folder of the workspace.")] = None,
    image: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="Film: PNG, JPEG or DICOM.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"Saliency method, see --list (default: {FIRST_MAP}; of a foreign encoder: occlusion)."),
    ] = None,
    target: cli.TargetOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write: .npy (the film's frame) or .png (overlay and legend).")
    ] = None,
    hit: Annotated[
        str | None, typer.Option(metavar="CASE_ID", help="For similarity: the case that the film is compared with.")
    ] = None,
    search_method: Annotated[
        str | None,
        typer.Option(
            help=f"For similarity: whose distance is shared out, of {', '.join(SEARCH_METHODS)}; default: the search's."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Explain an encoder of the workspace instead of the classifier.")
    ] = None,
    list_methods: Annotated[bool, typer.Option("--list", help="List the saliency methods and stop.")] = False,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Compute one saliency map of one film and write it as numbers or as a picture. The method similarity explains the
    distance to a case instead, and writes a second file for that case."""
    from icbir_core.errors import SaliencyError

    if list_methods:
        _list_methods(as_json)
        return
    if workspace is None or image is None or out is None or out.suffix.lower() not in (".npy", ".png"):
        raise SaliencyError("Give WORKSPACE, IMAGE and --out with a file that ends in .npy or .png.")
    from icbir_core.catalogue import Workspace
    from icbir_core.radiograph.network_input import Letterbox, show_whole_film
    from icbir_core.radiograph.reading import read_radiograph
    from icbir_core.saliency.display import SMOOTHED, is_smoothed, smooth_for_display
    from icbir_core.saliency.methods import SALIENCY_METHODS

    if method == "similarity":
        _explain_similarity(workspace, image, hit, search_method, target, out, device, as_json)
        return
    opened = Workspace.open(workspace)
    pixels = _hide_text(read_radiograph(image), out)
    chosen = cli.announce_device(device)
    settings, found, facts = _compute_map(opened, pixels, target, method, encoder)
    title = SALIENCY_METHODS[found.method].title
    drawn = smooth_for_display(found) if out.suffix.lower() == ".png" else found
    whole = show_whole_film(drawn.values, pixels.shape, settings)
    values = Letterbox.of(pixels.shape, whole.shape[0]).to_film(whole)
    what = found.finding or "the description"
    title = f"{title}, map of {what} by {found.network}"
    _write(out, pixels, values, found.signed, f"{title}, {SMOOTHED}" if is_smoothed(found.method) else title)
    _say_state(found.state)
    names = ("method", "finding", "network", "layer", "signed", "state")
    result = {name: getattr(found, name) for name in names} | {
        "low": float(values.min()),
        "high": float(values.max()),
        "sum": float(found.values.sum()),
        "file": str(out),
        **facts,
        "device": chosen.name,
    }
    text = f"{out}: {found.method} of {what} by {found.network}, {values.min():.3g} … {values.max():.3g}"
    cli.emit(result, text, as_json)


def _compute_map(
    workspace: Workspace, pixels: np.ndarray, finding: str | None, method: str | None, encoder: str | None
) -> tuple[InputSettings, SaliencyMap, dict[str, Any]]:
    """How the network sees the film, its map, and which network it is: the classifier, or the encoder that is named."""
    from icbir_core.model.classifier import Classifier
    from icbir_core.model.encoders import is_foreign
    from icbir_core.radiograph.network_input import fit_to_network
    from icbir_core.retrieval.model_choice import find_encoders, load_beside, load_models
    from icbir_core.saliency.encoder_maps import METHOD, explain_encoder
    from icbir_core.saliency.registry import explain as explain_films

    if encoder is None:
        models = load_models(workspace, finding)
        classifier, finding = models.classifier, models.target
        facts: dict[str, Any] = {"model": classifier.sha256, "starter_models": models.starter}
    else:
        (one,) = load_beside(workspace, [encoder])
        facts = {"model": one.sha256, "encoder": one.name}
        if is_foreign(one.manifest):
            image = fit_to_network(pixels, one.input_settings)
            return one.input_settings, explain_encoder(one, image, finding, method or METHOD), facts
        classifier = Classifier.load(find_encoders(workspace)[encoder].with_name(str(one.manifest["file"])))
    fitted = fit_to_network(pixels, classifier.input_settings)
    method = method or choose_map(classifier.manifest["network"])
    found = explain_films(classifier, fitted[None], finding or classifier.findings[0], method)[0]
    return classifier.input_settings, found, facts


def _explain_similarity(
    workspace: Path,
    image: Path,
    hit: str | None,
    search_method: str | None,
    target: str | None,
    out: Path,
    device: str,
    as_json: bool,
) -> None:
    from icbir_core.catalogue import read_query
    from icbir_core.deidentifying.leaving import read_with_text
    from icbir_core.errors import SaliencyError
    from icbir_core.radiograph.network_input import Letterbox
    from icbir_core.radiograph.overlay import shared_scale
    from icbir_core.retrieval.retriever import Retriever

    if hit is None:
        raise SaliencyError("The method similarity compares two films; name the second with --hit CASE_ID.")
    retriever = Retriever.open(workspace, target, device)
    chosen = cli.announce_device(device)
    case = retriever.workspace.catalogue.get(hit)
    query = read_query(retriever.workspace, str(image), image)
    search_method = search_method or retriever.methods()[0]
    pair = retriever.explain_pair(query, case, search_method)
    scale = shared_scale([pair.first.values, pair.second.values])
    files = out, out.with_name(f"{out.stem}_hit{out.suffix}")
    films = [_hide_text(one, out) for one in (query.radiograph, read_with_text(retriever.workspace, case))]
    for file, pixels, one in zip(files, films, (pair.first, pair.second), strict=True):
        values = Letterbox.of(pixels.shape, one.values.shape[0]).to_film(one.values)
        _write(file, pixels, values, one.signed, f"Why near or far ({search_method}), no map of a finding", scale)
    _say_state(pair.first.state)
    result = {name: getattr(pair.first, name) for name in ("method", "layer", "state")}
    result |= {name: getattr(pair, name) for name in ("quantity", "total", "explained", "residual")}
    result |= {
        "case_id": case.case_id,
        "search_method": search_method,
        "target": retriever.default_target,
        "files": [str(file) for file in files],
        "versions": retriever.get_target().get_versions(search_method),
        "device": chosen.name,
    }
    text = (
        f"{files[0]}, {files[1]}: similarity for {search_method}, no map of a finding; "
        f"{pair.quantity} {pair.total:.4g}, explained {pair.explained:.4g}, residual {pair.residual:.2g}"
    )
    cli.emit(result, text, as_json)


def _say_state(name: str) -> None:
    if name != "ok":
        cli.say(f"The map is {name}: it marks no place.")


def _hide_text(radiograph: Radiograph, out: Path) -> np.ndarray:
    """The pixels of a film as they may leave. Raises `BurnedInText` for a picture of one with text; numbers show
    none."""
    from icbir_core.deidentifying.leaving import hide_text

    return (hide_text(radiograph, None) if out.suffix.lower() == ".png" else radiograph).pixels


def _write(
    out: Path, pixels: np.ndarray, values: np.ndarray, signed: bool, title: str, scale: float | None = None
) -> None:
    import cv2
    import numpy as np

    from icbir_core.files import replace_atomically
    from icbir_core.radiograph.overlay import OverlayStyle, attach_legend, render_overlay, shared_scale
    from icbir_core.saliency.display import find_threshold

    with replace_atomically(out) as aside:
        if out.suffix.lower() == ".npy":
            with open(aside, "wb") as handle:
                np.save(handle, values)
        else:
            scale = shared_scale([values]) if scale is None else scale
            style = OverlayStyle(signed=signed, threshold=find_threshold(values, scale, signed))
            picture = attach_legend(render_overlay(pixels, values, style, scale), style, scale, title)
            cv2.imwrite(str(aside), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def _list_methods(as_json: bool) -> None:
    from icbir_core.retrieval.pair_explanation import SIMILARITY
    from icbir_core.saliency.methods import SALIENCY_METHODS

    for method in (*SALIENCY_METHODS.values(), SIMILARITY):
        sign = "signed" if method.signed else "not signed"
        cli.emit(method.as_dict(), f"{method.name:22}{method.title} ({sign}): {method.description}", as_json)


def checks(
    workspace: cli.WorkspaceArgument,
    target: cli.TargetOption = None,
    methods: Annotated[str | None, typer.Option(help="Methods, separated by commas (default: all).")] = None,
    simulated: Annotated[int, typer.Option(min=2, help="How many simulated films with exact masks.")] = 16,
    boxes: Annotated[
        Path | None, typer.Option(help="Readers' boxes of catalogue cases, as BBox_List_2017.csv.")
    ] = None,
    frame: Annotated[int, typer.Option(min=1, help="Side of the original films that the boxes refer to.")] = 1024,
    shuffled_labels: Annotated[
        bool,
        typer.Option(
            "--shuffled-labels", help="Do only this: train on shuffled and on true labels and compare the maps."
        ),
    ] = False,
    epochs: Annotated[
        int, typer.Option(min=1, help="For --shuffled-labels: epochs of each of the two trainings.")
    ] = 60,
    films: Annotated[
        int | None, typer.Option(min=16, help="For --shuffled-labels: largest number of films, both classes alike.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="For --shuffled-labels: densenet_small, densenet121, or own as the workspace's.")
    ] = "densenet_small",
    out: Annotated[Path | None, typer.Option(help="Also write the table to this file, as Markdown.")] = None,
    device: cli.DeviceOption = "auto",
    as_json: cli.JsonOption = False,
) -> None:
    """Test what the maps claim: where they lie, what the score hangs on, and whether they depend on the network and,
    with --shuffled-labels, on what its labels meant. That trains two networks, and continues if stopped."""
    from icbir_core.catalogue import Workspace
    from icbir_core.errors import SaliencyError
    from icbir_core.pipeline.saliency_checks import collect_boxed, simulate_marked
    from icbir_core.retrieval.model_choice import load_models
    from icbir_core.saliency.checks import CheckOptions, run_checks

    chosen = cli.split_names(methods)
    options = CheckOptions()
    if chosen:
        options = CheckOptions(chosen, tuple(name for name in options.randomised if name in chosen))
    chosen_device = cli.announce_device(device)
    opened = Workspace.open(workspace)
    models = load_models(opened, target)
    settings = models.classifier.input_settings
    if shuffled_labels:
        from icbir_core.training.shuffled_labels import ShuffleOptions

        own = models.classifier.manifest["network"] if network == "own" else network
        wanted = ShuffleOptions(models.target, own, epochs=epochs, films=films, device=device)
        wanted = replace(wanted, input=settings) if network == "own" else wanted
        _check_shuffled_labels(opened, replace(wanted, methods=chosen) if chosen else wanted, out, as_json)
        return
    marked = [one for one in (simulate_marked(models.target, simulated, settings),) if one is not None]
    if boxes is not None:
        marked += collect_boxed(opened, boxes, models.classifier.findings, settings, frame)
    if not marked:
        raise SaliencyError(
            f"No film shows where {models.target} is, and it cannot be simulated; give boxes with --boxes."
        )
    with cli.progress_bar("checks", "step") as progress:
        rows = run_checks(models.classifier, marked, options, progress)
    title = (
        f"Classifier {models.classifier.sha256[:12]}{' (starter)' if models.starter else ''}, target {models.target}."
    )
    result = {"model": models.classifier.sha256, "target": models.target, "device": chosen_device.name}
    _emit_rows(rows, title, result, out, as_json)


def _check_shuffled_labels(workspace: Workspace, options: ShuffleOptions, out: Path | None, as_json: bool) -> None:
    from icbir_core.training.shuffled_labels import check_shuffled_labels

    with cli.progress_bar("shuffled labels", "step") as progress:
        rows = check_shuffled_labels(workspace, options, progress)
    title = (
        f"{options.network} at {options.input.size}, trained from random weights for {options.epochs} epochs on true "
        f"and on shuffled labels, target {options.target}."
    )
    result: dict[str, Any] = {"target": options.target, "network": options.network, "size": options.input.size}
    result |= {"epochs": options.epochs, "films": options.films, "seed": options.seed}
    _emit_rows(rows, title, result, out, as_json)


def _emit_rows(rows: Sequence[CheckRow], title: str, result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    from icbir_core.files import write_text_atomically
    from icbir_core.saliency.checks import render_table, to_plain

    text = f"{title}\n\n{render_table(rows)}\n"
    if out is not None:
        write_text_atomically(out, text)
    cli.emit(result | {"rows": to_plain(rows)}, text, as_json)
