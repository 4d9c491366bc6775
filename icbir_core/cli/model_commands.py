"""The command of the networks: train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from icbir_core.cli import conventions as cli
from icbir_core.model.backbones import BACKBONES


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(train)


def train(
    workspace: cli.WorkspaceArgument,
    target: Annotated[str, typer.Option(help="Target finding, such as Effusion.")],
    findings: Annotated[str | None, typer.Option(help="More findings to predict, separated by commas.")] = None,
    recipe: Annotated[str, typer.Option(help="default, or silva2020 as published.")] = "default",
    weights: Annotated[
        str | None,
        typer.Option(help="Start: imagenet, none, starter, an encoder's name or a file (default: the recipe's)."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs, instead of the recipe's.")] = None,
    device: cli.DeviceOption = "auto",
    stage: Annotated[str, typer.Option(help="classifier, saliency or both.")] = "both",
    network: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(BACKBONES)} (default: that of the start, else densenet121).")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Pixels of the input's side (default: the start's, else 224).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Batch size, instead of the recipe's.")] = None,
    flip: Annotated[bool, typer.Option(help="Also train on mirror images (mixes up left and right).")] = False,
    each_finding: Annotated[
        bool,
        typer.Option(
            "--each-finding", help="Also a saliency classifier for every other finding with at least 50 cases."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, the start, the order and the augmentation.")] = 0,
    as_json: cli.JsonOption = False,
) -> None:
    """Train the classifier on the catalogue's films, then the saliency classifier on its maps. Continues if stopped."""
    from icbir_core.catalogue import Workspace
    from icbir_core.model.recipes import Augmentation, find_recipe
    from icbir_core.training.both_stages import TrainingOptions, train_workspace
    from icbir_core.training.each_finding import train_each_finding
    from icbir_core.training.starts import find_start

    opened = Workspace.open(workspace)
    chosen = find_recipe(recipe)
    chosen = replace(chosen, epochs=epochs or chosen.epochs, batch_size=batch_size or chosen.batch_size)
    if flip:
        chosen = replace(chosen, augmentation=replace(chosen.augmentation or Augmentation(), flip=0.5))
    start = find_start(opened, weights)
    options = TrainingOptions(
        target=target,
        recipe=chosen,
        findings=cli.split_names(findings),
        weights=start.weights,
        stage=stage,
        network=network or start.network,
        input=start.input if size is None else replace(start.input, size=size),
        device=device,
        seed=seed,
    )
    if len(options.outputs) == 1 and options.findings:
        cli.say(f"The recipe {chosen.name} trains the target alone: --findings is not used.")
    cli.announce_device(device)
    with cli.progress_bar("train", unit="step") as progress:
        run = train_each_finding if each_finding else train_workspace
        manifests = run(opened, options, progress, log=_tell_epoch)
    text = "\n".join(line for stage_name, manifest in manifests.items() for line in _describe(stage_name, manifest))
    cli.emit({name: _without_history(manifest) for name, manifest in manifests.items()}, text, as_json)


def fetch_network(
    name: str | None, to: Path, file: Path | None, workspace: Path | None, base_url: str | None, as_json: bool
) -> None:
    """What `fetch model NAME` does: brings a published network and says what it is."""
    import shlex

    from icbir_core.catalogue import Workspace
    from icbir_core.errors import FetchError
    from icbir_core.model.published import list_published
    from icbir_core.pipeline.fetch_model import fetch_model

    if name is None:
        raise FetchError(f"Name a network: fetch model {' | '.join(list_published())}.")
    opened = None if workspace is None else Workspace.create(workspace)
    with cli.progress_bar("fetch", unit="B") as progress:
        found = fetch_model(name, to, file, opened, progress, base_url)
    facts = found.manifest["published"]
    known = "as published" if facts["sha256_published"] else "none is published; recorded, and compared next time"
    lines = [
        f"{facts['title']}: {len(found.manifest['findings'])} findings, in {found.path}",
        f"  file {facts['file']}, SHA-256 {facts['sha256']} ({known})",
        f"  {found.manifest['warning']}",
        f"  Licence: {facts['licence']}",
    ]
    if found.installed is None:
        lines.append(f"Next: icbir train WORKSPACE --target Effusion --weights {found.path}")
    else:
        lines.append(f"Next: icbir index {shlex.quote(str(workspace))} --target Effusion")
    result = {"path": str(found.path), "installed": None if found.installed is None else str(found.installed)}
    result |= {"findings": found.manifest["findings"], "warning": found.manifest["warning"], "published": facts}
    cli.emit(result, "\n".join(lines), as_json)


def install_network(name: str | None, file: Path | None, manifest: Path, workspace: Path | None, as_json: bool) -> None:
    """What `fetch model NAME --file FILE --manifest JSON --workspace WORKSPACE` does: a network becomes an encoder."""
    import shlex

    from icbir_core.catalogue import Workspace
    from icbir_core.errors import FetchError
    from icbir_core.pipeline.install_encoder import install_encoder

    if name is None or file is None or workspace is None:
        raise FetchError("An encoder needs a NAME, --file, --manifest and --workspace.")
    found = install_encoder(name, file, manifest, Workspace.create(workspace))
    facts = {"encoder": found.name, "title": found.title, "sha256": found.manifest["sha256"]}
    facts |= {"files": found.manifest["files"], "width": found.width, "findings": list(found.findings)}
    said = f"{len(found.findings)} findings" if found.findings else "no findings"
    text = f"{found.title}: {found.width} features, {said}; SHA-256 {found.manifest['sha256']}"
    quoted = shlex.quote(str(workspace))
    cli.emit(facts, f"{text}\nNext: icbir index {quoted} --encoders {name}", as_json)


def _tell_epoch(stage: str, row: dict[str, Any]) -> None:
    score = f", mean AUROC {row['mean_auroc']:.3f}" if "mean_auroc" in row else ""
    cli.say(f"{stage}: epoch {row['epoch'] + 1}, loss {row['loss']:.4f}{score}, {row['seconds']:.0f} s")


def _describe(stage: str, manifest: dict[str, Any]) -> list[str]:
    films, training = manifest["films"], manifest["training"]
    lines = [
        f"{stage}: {manifest['network']} on {films['trained']} films, {training['epochs']} epochs, kept epoch "
        f"{training['best_epoch'] + 1}; {manifest['device']['name']}; SHA-256 {manifest['sha256'][:12]}"
    ]
    share = manifest.get("share_without_finding")
    if share is not None:
        lines.append(
            f"  {100 * share:.0f} % of the held-back films are not known to carry any of these findings, and are the "
            "easier ones."
        )
    for name, score in manifest["auroc"].items():
        counts = f"{score['present']} with, {score['absent']} without"
        if score["value"] is None:
            lines.append(f"  {name}: no AUROC ({counts})")
            continue
        among = manifest.get("auroc_among_findings", {}).get(name, {})
        harder = f"{_tell_score(among)} among films with any finding, " if among.get("value") is not None else ""
        lines.append(f"  {name}: AUROC {harder}{_tell_score(score)} on all held-back patients ({counts})")
    return lines


def _tell_score(score: dict[str, Any]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _without_history(manifest: dict[str, Any]) -> dict[str, Any]:
    training = {name: value for name, value in manifest["training"].items() if name not in ("history", "held_back")}
    return {**manifest, "training": training}
