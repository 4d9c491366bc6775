"""The demonstration workspace: simulated films, indexed with the starter models, with what is slow to compute shipped.

Shipped (`assets/demo`): for each film of the catalogue the map, the embeddings and the region features. They are
bound to the starter models by hash and to each film by its seed and a thumbnail of 16 × 16: another machine's
arithmetic may turn a grey level by one, so a hash of the pixels would be too strict. A film whose thumbnail differs
is computed on the spot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.errors import IcbirError, WorkspaceError
from icbir_core.files import (
    PathLike,
    find_program_folder,
    read_json,
    replace_atomically,
    sha256_of_file,
    write_bytes_atomically,
    write_json_atomically,
)
from icbir_core.types import Case, Progress

if TYPE_CHECKING:
    from icbir_core.model.encoders import Encoder
    from icbir_core.retrieval.model_choice import Models

CATALOGUE_SEED, CATALOGUE_FILMS = 7_000_000, 300
QUERY_SEED, QUERY_FILMS = 7_100_000, 24
PIXELS = 512
SOURCE = "simulated"
ARTEFACT = "demonstration"
FOLDER, CATALOGUE_FOLDER, SIMULATED_QUERIES, QUERY_FOLDER = "demonstration", "catalogue", "simulated_queries", "queries"
ASSETS = find_program_folder() / "assets" / "demo"
DATA, MANIFEST = "embeddings.npz", "manifest.json"
THUMBNAIL, TOLERANCE = 16, 2.0
_EXACT = ("scales", "probabilities", "cnn", "ig_cbir", "spatial")


@dataclass(frozen=True)
class DemonstrationPlan:
    """Which films: so many seeds from each first seed on, and their side in pixels."""

    catalogue_seed: int = CATALOGUE_SEED
    films: int = CATALOGUE_FILMS
    query_seed: int = QUERY_SEED
    queries: int = QUERY_FILMS
    pixels: int = PIXELS


@dataclass(frozen=True)
class DemonstrationReport:
    """cases in the catalogue, query films and their folder, embeddings shipped and computed here, the target."""

    cases: int
    queries: int
    query_folder: str
    shipped: int
    computed: int
    target: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DemonstrationOptions:
    """device : "auto", "cpu" or "gpu". assets : of the shipped values. models : instead of the starter models."""

    device: str = "auto"
    plan: DemonstrationPlan = DemonstrationPlan()
    assets: PathLike = ASSETS
    models: Models | None = None


DEFAULT = DemonstrationOptions()


def build_demonstration(
    path: PathLike, options: DemonstrationOptions = DEFAULT, progress: Progress | None = None
) -> DemonstrationReport:
    """Make the demonstration workspace at `path`, or finish one that was begun; a finished one is returned at once.

    The films lie in demonstration/ of the workspace, the query films in demonstration/queries. Raises `WorkspaceError`
    for a folder with other content, `ModelError` without models.
    """
    plan = options.plan
    progress = progress or (lambda done, total, text: None)
    workspace = Workspace.create(path)
    recorded = workspace.read_manifest()["artefacts"].get(ARTEFACT)
    if recorded and recorded["plan"] == asdict(plan):
        return DemonstrationReport(**recorded["report"])
    query_folder = _make_films(workspace, plan, progress)

    # Only now, because the line below takes seconds to import and the films need none of it.
    from icbir_core.model.device import choose_device
    from icbir_core.retrieval.index_workspace import index_workspace
    from icbir_core.retrieval.model_choice import load_with_encoders

    choose_device(options.device)
    models = options.models or load_with_encoders(workspace)
    shipped = take_shipped(workspace, models, options.assets, progress)
    report = index_workspace(workspace, models.target, device=options.device, models=models, progress=progress)
    done = DemonstrationReport(
        cases=workspace.catalogue.count(),
        queries=plan.queries,
        query_folder=str(query_folder.relative_to(workspace.path)),
        shipped=shipped,
        computed=report.embedded,
        target=report.target,
    )
    workspace.record_artefact(ARTEFACT, {"plan": asdict(plan), "report": done.as_dict(), "films": SOURCE})
    return done


def _make_films(workspace: Workspace, plan: DemonstrationPlan, progress: Progress) -> Path:
    """Simulate both sets of films and ingest the catalogue's; returns the folder of the query films."""
    from icbir_core.phantom import write_simulated

    folder = workspace.path / FOLDER
    films = write_simulated(folder / CATALOGUE_FOLDER, plan.films, plan.catalogue_seed, plan.pixels, progress=progress)
    queries = write_simulated(folder / SIMULATED_QUERIES, plan.queries, plan.query_seed, plan.pixels, progress=progress)
    for film in sorted((queries / "images").glob("*.png")):
        # copied apart: a folder of films alone is what a reader opens; the truths stay with the simulated set
        write_bytes_atomically(folder / QUERY_FOLDER / film.name, film.read_bytes())
    options = IngestOptions("folder", films / "images", films / "labels.csv", source=SOURCE)
    report = ingest(workspace, options, progress)
    if report.skipped:
        item, reason = report.skipped[0]
        raise WorkspaceError(f"The simulated film '{item}' was not ingested: {reason}.")
    return folder / QUERY_FOLDER


def _get_seed(case: Case) -> int | None:
    """The seed of a simulated case, from its name sim_<seed>; None for any other case."""
    name = case.case_id.removeprefix("sim_")
    return int(name) if case.source == SOURCE and name.isdigit() else None


def make_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """float32 (16, 16) in [0, 255] of a film (H, W) in [0, 1]: mean grey by area."""
    small = cv2.resize(np.asarray(pixels, np.float32), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return 255 * small


# ------------------------------------------------------------------------------------------------ shipped values


def encode_maps(maps: np.ndarray) -> np.ndarray:
    """Maps in [−1, 1] as int8: the signed square root in 127 steps, fine near zero where most of a map lies."""
    maps = np.asarray(maps, dtype=np.float32)
    return np.asarray(np.rint(127 * np.sign(maps) * np.sqrt(np.abs(maps))).astype(np.int8))


def decode_maps(encoded: np.ndarray) -> np.ndarray:
    """float32 maps from `encode_maps`; off by at most (2 √|v| / 254 + 1 / 64516)."""
    roots = encoded.astype(np.float32) / 127
    return np.sign(roots) * roots * roots


def make_demonstration_assets(
    path: PathLike, options: DemonstrationOptions = DEFAULT, progress: Progress | None = None
) -> Path:
    """Build the demonstration at `path` without any shipped values, and write its values to the options' `assets`;
    returns the file.

    Film by film: "seeds" int64 (N,), "thumbnails" uint8 (N, 16, 16), "maps" int8 (N, S, S) as `encode_maps`, and
    in half precision "scales" (float32), "probabilities", "cnn", "ig_cbir", "spatial". The manifest names the models.
    """
    from icbir_core.retrieval.model_choice import load_with_encoders
    from icbir_core.retrieval.store import CaseStore
    from icbir_core.retrieval.target_files import TargetFiles

    report = build_demonstration(path, replace(options, assets=Path(path) / "no_assets"), progress)
    workspace = Workspace.open(path)
    models = options.models or load_with_encoders(workspace, report.target)
    store = CaseStore.open(TargetFiles(workspace, report.target).store)
    cases = [case for case in workspace.catalogue.cases() if _get_seed(case) is not None]
    rows = np.array([case.row for case in cases])
    thumbnails = [make_thumbnail(read_case_radiograph(workspace, case).pixels) for case in cases]
    values: dict[str, np.ndarray] = {
        "seeds": np.array([_get_seed(case) for case in cases], np.int64),
        "thumbnails": np.rint(thumbnails).astype(np.uint8),
        "maps": np.concatenate([encode_maps(part) for _, part in store.iterate("maps", rows, 64)]),
    }
    for name in _EXACT:
        values[name] = store.read(name, rows).astype(np.float32 if name == "scales" else np.float16)
    assets = Path(options.assets)
    assets.mkdir(parents=True, exist_ok=True)
    beside = {one.name: write_encoder_values(workspace, one, rows, values["seeds"], assets) for one in models.encoders}
    with replace_atomically(assets / DATA) as aside, open(aside, "wb") as handle:
        np.savez_compressed(handle, **values)  # type: ignore[arg-type]  # no field is named like an option
    write_json_atomically(
        assets / MANIFEST,
        {
            "models": models.identity,
            "target": report.target,
            "map_method": store.identity["map_method"],
            "plan": asdict(options.plan),
            "sha256": sha256_of_file(assets / DATA),
            "encoders": beside,
            "note": "Maps in 127 steps of the square root, embeddings in half precision, of simulated films; bound to "
            "seeds and thumbnails, because the last grey level of a simulated film may differ between machines.",
        },
    )
    return assets / DATA


def write_encoder_values(
    workspace: Workspace, encoder: Encoder, rows: np.ndarray, seeds: np.ndarray, assets: PathLike
) -> dict[str, str]:
    """Write an encoder's features of the catalogue's films beside the other values, in half precision; what the
    manifest says of them: the hashes of the encoder and of the file."""
    from icbir_core.retrieval.methods import ENCODERS
    from icbir_core.retrieval.store import CaseStore
    from icbir_core.retrieval.target_files import get_encoder_store

    store = CaseStore.open(get_encoder_store(workspace, encoder.name), {"encoder": encoder.sha256})
    path = _name_encoder_file(assets, encoder.name)
    with replace_atomically(path) as aside, open(aside, "wb") as handle:
        np.savez_compressed(handle, seeds=seeds, features=store.read(ENCODERS, rows).astype(np.float16))
    return {"encoder": encoder.sha256, "sha256": sha256_of_file(path)}


def _name_encoder_file(assets: PathLike, encoder: str) -> Path:
    return Path(assets) / f"encoder-{encoder}.npz"


def _read_encoder_values(assets: Path, encoder: Encoder, manifest: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """An encoder's shipped features by the film's seed; none where they are of other weights."""
    facts, path = manifest.get("encoders", {}).get(encoder.name, {}), _name_encoder_file(assets, encoder.name)
    if facts.get("encoder") != encoder.sha256 or not path.is_file():
        return {}
    if sha256_of_file(path) != facts["sha256"]:
        raise WorkspaceError(f"'{path}' is not as its manifest names it; install again.")
    with np.load(path, allow_pickle=False) as stored:
        features = stored["features"].astype(np.float32)
        return {int(seed): features[place] for place, seed in enumerate(stored["seeds"])}


def take_shipped(workspace: Workspace, models: Models, assets: PathLike, progress: Progress) -> int:
    """Put shipped values into the store for the films that they fit; returns how many. None if made by other models."""
    assets = Path(assets)
    if not (assets / MANIFEST).is_file() or not (assets / DATA).is_file():
        return 0
    manifest = read_json(assets / MANIFEST)
    if manifest["models"] != models.identity or manifest["target"] != models.target:
        return 0
    if sha256_of_file(assets / DATA) != manifest["sha256"]:
        raise WorkspaceError(f"'{assets / DATA}' is not the file that its manifest names; install again.")

    from icbir_core.radiograph.network_input import fit_to_network
    from icbir_core.retrieval.devices import SHIPPED
    from icbir_core.retrieval.filling import name_identity, open_encoder_stores
    from icbir_core.retrieval.methods import ENCODERS
    from icbir_core.retrieval.store import BATCH, CaseStore
    from icbir_core.retrieval.structural_similarity import reduce_images
    from icbir_core.retrieval.target_files import TargetFiles

    embedder = models.make_embedder(manifest["map_method"])
    identity = name_identity(models, manifest["map_method"])
    path = TargetFiles(workspace, models.target).store
    store, _ = CaseStore.open_or_create(path, identity, embedder.fields, workspace.films_address)
    with np.load(assets / DATA, allow_pickle=False) as stored:
        values = {name: stored[name] for name in stored.files}
    places = {int(seed): place for place, seed in enumerate(values["seeds"])}
    sides = [
        (side, set(side.get_completed().tolist()), _read_encoder_values(assets, one, manifest))
        for one, side in open_encoder_stores(workspace, models.encoders)
    ]
    done, taken, total = set(store.get_completed().tolist()), 0, workspace.catalogue.count()
    settings = models.classifier.input_settings
    for cases in workspace.catalogue.iterate(BATCH):
        rows, images, chosen = [], [], []
        beside: list[tuple[list[int], list[np.ndarray]]] = [([], []) for _ in sides]
        for case in cases:
            seed = _get_seed(case)
            place = None if seed is None else places.get(seed)
            if place is None or all(case.row in known for known in (done, *(known for _, known, _ in sides))):
                continue
            try:
                pixels = read_case_radiograph(workspace, case).pixels
            except IcbirError:  # the indexing that follows names it
                continue
            if np.abs(make_thumbnail(pixels) - values["thumbnails"][place]).max() > TOLERANCE:
                continue
            for (_, known, features), (side_rows, side_features) in zip(sides, beside, strict=True):
                if case.row not in known and seed in features:
                    side_rows.append(case.row)
                    side_features.append(features[seed])
            if case.row not in done:
                rows.append(case.row)
                images.append(fit_to_network(pixels, settings))
                chosen.append(place)
        if rows:
            batch = {name: values[name][chosen] for name in _EXACT}
            batch |= {"maps": decode_maps(values["maps"][chosen]), "ssim": reduce_images(np.array(images))}
            store.write(np.array(rows), batch)
            taken += len(rows)
        for (side, _, _), (side_rows, side_features) in zip(sides, beside, strict=True):
            if side_rows:
                side.write(np.array(side_rows), {ENCODERS: np.array(side_features)})
        progress(cases[-1].row + 1, total, "shipped embeddings")
    for one in (store, *(side for side, _, _ in sides)):
        if one.has_values() and not one.read_devices():
            one.note_device(SHIPPED, 0.0)
    return taken
