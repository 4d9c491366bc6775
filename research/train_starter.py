"""The commands that made the starter models, step by step; each step resumes and writes below one folder.

    python research/train_starter.py real FOLDER --nih DIR --nih-effusion DIR    films through the product's own path
    python research/train_starter.py simulate FOLDER --count N --seed S          simulated films (may run aside)
    python research/train_starter.py fit FOLDER NAME --films simulated|real|both …    one training run
    python research/train_starter.py maps FOLDER NAME                            saliency maps of the classifier
    python research/train_starter.py score FOLDER NAME                           AUROC on a part of the real films
    python research/train_starter.py ship FOLDER …          calibrate on `tune`, score `test`, write float16

`fit` and `maps` run in PyTorch (`densenet_torch.py`, `deep_taylor_torch.py`), in bfloat16; the rest on TensorFlow. The
weights are the same arrays. Retrieval by a run: `retrieval_of_run.py`; a start without labels:
`self_supervised_start.py`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

SIZE = 224
FINDINGS = (
    "Effusion", "Cardiomegaly", "Pneumothorax", "Consolidation", "Edema", "Atelectasis", "Pneumonia", "Nodule", "Mass",
    "Infiltration", "No Finding",
)  # fmt: skip
AGREEMENT_SAMPLE = 32
UNSEEN_SEED = 90_000_000
REAL_ONLY = ("Infiltration",)  # the simulator does not draw it


def prepare_real(arguments: argparse.Namespace) -> None:
    """real.npz: images uint8 (N, 224, 224), labels, patients, part (train, tune, test, extra)."""
    from icbir_core.radiograph import read_radiograph
    from icbir_core.radiograph.network_input import fit_to_network
    from icbir_core.settings import InputSettings

    parts = {row["Patient ID"]: row["part"] for row in csv.DictReader((arguments.nih / "split.csv").open())}
    films: list[tuple[Path, np.ndarray, str, str]] = []
    for row in csv.DictReader((arguments.nih / "Data_Entry_2017_v2020.csv").open()):
        present = set(row["Finding Labels"].split("|"))
        labels = np.array([float(name in present) for name in FINDINGS], np.float32)
        films.append(
            (arguments.nih / "images" / row["Image Index"], labels, row["Patient ID"], parts[row["Patient ID"]])
        )
    for row in csv.DictReader((arguments.nih_effusion / "labels.csv").open()):
        labels = np.full(len(FINDINGS), np.nan, np.float32)
        if row["finding"] == "No Finding":
            labels[:] = 0
        labels[FINDINGS.index("Effusion")] = float(row["finding"] == "Effusion")
        labels[FINDINGS.index("No Finding")] = float(row["finding"] == "No Finding")
        films.append((arguments.nih_effusion / "images" / row["image"], labels, "", "extra"))
    settings = InputSettings(SIZE, True)
    images = np.zeros((len(films), SIZE, SIZE), np.uint8)
    for i, film in enumerate(films):
        images[i] = np.rint(fit_to_network(read_radiograph(film[0]).pixels, settings) * 255)
    np.savez(
        arguments.folder / "real.npz",
        images=images,
        labels=np.stack([film[1] for film in films]),
        patients=np.array([film[2] for film in films]),
        part=np.array([film[3] for film in films]),
    )
    print(len(films), "real films")


def label_simulated(truth) -> np.ndarray:
    """Labels float32 (F,) of a simulated film: what it shows is known exactly; what no reader would call is NaN.

    NaN: a trace (severity below 0.05), a heart drawn larger that stayed below a cardiothoracic ratio of 0.5, a large
    heart that was not asked for, and what the simulator cannot draw.
    """
    names = set(truth.names)
    labels = np.array([float(name in names) for name in FINDINGS], np.float32)
    labels[FINDINGS.index("No Finding")] = float(not names)
    doubtful = {finding.name for finding in truth.findings if finding.severity < 0.05}
    if ("Cardiomegaly" in names) != (truth.cardiothoracic_ratio > 0.52):
        doubtful.add("Cardiomegaly")
    if names and names <= doubtful or not names and doubtful:
        doubtful.add("No Finding")
    for name in doubtful | (set(REAL_ONLY) if names else set()):
        labels[FINDINGS.index(name)] = np.nan
    return labels


def _simulate_chunk(job: tuple[Path, int, int, int]) -> None:
    from icbir_core.phantom import simulate_films
    from icbir_core.radiograph.network_input import fit_to_network
    from icbir_core.settings import InputSettings

    path, count, seed, pixels = job
    images, labels = [], []
    for made in simulate_films(range(seed, seed + count), pixels, workers=1):
        images.append(
            np.rint(fit_to_network(made.pixels.astype(np.float32) / 255, InputSettings(SIZE, True)) * 255).astype(
                np.uint8
            )
        )
        labels.append(label_simulated(made.truth))
    aside = path.with_suffix(".part.npz")
    np.savez(aside, images=np.stack(images), labels=np.stack(labels))
    os.replace(aside, path)


def simulate(arguments: argparse.Namespace) -> None:
    """simulated/NNNNN.npz of 250 films each; what is there is kept."""
    folder = arguments.folder / "simulated"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for chunk in range(arguments.first, arguments.first + -(-arguments.count // 250)):
        path = folder / f"{chunk:05d}.npz"
        if not path.exists():
            jobs.append((path, 250, arguments.seed + 250 * chunk, arguments.pixels))
    began = time.monotonic()
    with ProcessPoolExecutor(arguments.processes) as pool:
        for done, _ in enumerate(pool.map(_simulate_chunk, jobs), 1):
            print(f"{250 * done} films, {250 * done / (time.monotonic() - began):.1f} a second", flush=True)


def load_simulated(folder: Path, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 224, 224) and labels (N, F) of the chunks there are, in order."""
    paths = sorted(path for path in (folder / "simulated").glob("*.npz") if ".part" not in path.name)
    images, labels, count = [], [], 0
    for path in paths:
        if limit is not None and count >= limit:
            break
        with np.load(path) as chunk:
            images.append(chunk["images"])
            labels.append(chunk["labels"])
        count += len(images[-1])
    return np.concatenate(images), np.concatenate(labels)


def guess_infiltration(labels: np.ndarray) -> np.ndarray:
    """Gives the one finding that the simulator does not name a stand-in for the simulated stage: any hazy opacity."""
    labels = labels.copy()
    hazy = labels[:, [FINDINGS.index(name) for name in ("Consolidation", "Pneumonia", "Edema")]]
    present = (hazy == 1).any(1)
    labels[present, FINDINGS.index("Infiltration")] = 1
    return labels


def collect(arguments: argparse.Namespace):
    """The films of a run: `tune` patients are always what is held back; `test` is never loaded here."""
    from icbir_core.model.training_set import TrainingSet

    with np.load(arguments.folder / "real.npz") as stored:
        part, images, labels = stored["part"], stored["images"], stored["labels"]
        patients = stored["patients"]
    if arguments.maps:
        images = np.load(arguments.folder / arguments.maps / "maps_real.npy")
    wanted = ["tune"]
    if arguments.films in ("real", "both"):
        wanted += ["train"] if arguments.without_extra else ["train", "extra"]
    keep = np.isin(part, wanted)
    images, labels, part, patients = images[keep], labels[keep], part[keep], patients[keep]
    names: list[str | None] = [text or None for text in patients.tolist()]
    held = part == "tune"
    shares = np.ones(len(images))
    if arguments.films in ("simulated", "both"):
        made, truth = load_simulated(arguments.folder, arguments.limit)
        if arguments.maps:
            made = np.load(arguments.folder / arguments.maps / "maps_simulated.npy")
            truth = truth[: len(made)]
        if arguments.films == "simulated":
            truth = guess_infiltration(truth)
        count = (~held).sum()
        share = (
            1.0
            if arguments.films == "simulated"
            else (1 - arguments.real_share) / arguments.real_share * count / len(made)
        )
        images, labels = np.concatenate([images, made]), np.concatenate([labels, truth])
        held, shares = np.append(held, np.zeros(len(made), bool)), np.append(shares, np.full(len(made), share))
        names += [None] * len(made)
    drawn = arguments.films == "both"
    print(f"{len(images) - held.sum()} films to train on, {held.sum()} of tune patients judge", flush=True)
    return TrainingSet(images, labels, FINDINGS, names, held, shares if drawn else None)


def fit(arguments: argparse.Namespace) -> None:
    """One training run in plain PyTorch; each line of its log is an epoch, scored on the tune patients."""
    import torch
    from densenet_torch import join_workers, train

    from icbir_core.model.recipes import Augmentation, Recipe

    torch.set_num_threads(arguments.threads)
    if arguments.workers > 1:
        meeting = arguments.folder / f"{arguments.name}.meeting"
        join_workers(arguments.rank, arguments.workers, str(meeting.absolute()))
    training_set = collect(arguments)
    films = arguments.epoch_size or len(training_set.training_rows)
    recipe = Recipe(
        name="starter", learning_rate=arguments.rate, weight_decay=arguments.decay, batch_size=arguments.batch,
        epochs=arguments.epochs, epoch_size=films // arguments.workers,
        augmentation=Augmentation(**json.loads(arguments.augmentation)), averaging=arguments.averaging,
        patience=None, warm_up_epochs=arguments.warm_up, label_smoothing=arguments.smoothing,
        positive_weight_limit=arguments.positive_limit, start=arguments.start,
    )  # fmt: skip
    directory = arguments.folder / (arguments.name if not arguments.rank else f"{arguments.name}.{arguments.rank}")
    began = time.monotonic()

    def log(row: dict) -> None:
        print(json.dumps({"minutes": round((time.monotonic() - began) / 60, 1), **row}), flush=True)

    start, seed = arguments.start, arguments.seed + 1000 * arguments.rank
    if start != "none" and not Path(start).is_file():
        start = str(arguments.folder / start / "weights.npz")
    train(training_set, recipe, directory, size=arguments.size, start=start, seed=seed, log=log)


def make_maps(arguments: argparse.Namespace) -> None:
    """maps_real.npy or maps_simulated.npy: encoded Deep Taylor maps of the target, uint8 (N, 224, 224); resumes."""
    import torch
    from deep_taylor_torch import DeepTaylorTorch

    from icbir_core.files import sha256_of_file
    from icbir_core.model.network import read_named_weights
    from icbir_core.radiograph.network_input import standardise
    from icbir_core.training.film_cache import cache_rows

    torch.set_num_threads(arguments.threads)
    directory = arguments.folder / arguments.name
    if arguments.which == "real":
        with np.load(arguments.folder / "real.npz") as stored:
            films = stored["images"]
    else:
        films = load_simulated(arguments.folder, arguments.limit)[0][: arguments.limit]
    explain = DeepTaylorTorch(read_named_weights(directory / "weights.npz"), FINDINGS.index(arguments.target))
    began = time.monotonic()

    def compute(start: int, stop: int) -> np.ndarray:
        maps = np.maximum(explain(standardise(films[start:stop].astype(np.float32) / 255)), 0)
        return maps / np.maximum(maps.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)

    def progress(done: int, total: int, text: str) -> None:
        if done % 80 == 0:
            print(f"{text}: {done}/{total}, {(time.monotonic() - began) / 60:.1f} min", flush=True)

    identity = {"classifier": sha256_of_file(directory / "weights.npz"), "target": arguments.target}
    maps = cache_rows(directory, f"cache_{arguments.which}", identity, len(films), SIZE, compute, progress, batch=8)
    np.save(directory / f"maps_{arguments.which}.npy", maps)
    print(f"{len(maps)} maps, {(maps.max((1, 2)) == 0).sum()} of them empty", flush=True)


def evaluate(model, images: np.ndarray, size: int) -> np.ndarray:
    """Logits float32 (N, F) of images uint8 (N, 224, 224) at `size`."""
    import keras

    from icbir_core.model.training import predict_logits

    network = keras.Model(model.input, model.get_layer("logits").output)
    return predict_logits(network, images, np.arange(len(images)), size)


def score(arguments: argparse.Namespace) -> None:
    """AUROC with intervals of any run on a part of the real films, as JSON."""
    from icbir_core.model.network import build_network
    from icbir_core.model.scoring import score_finding

    with np.load(arguments.folder / "real.npz") as stored:
        chosen = stored["part"] == arguments.part
        images, labels, patients = stored["images"][chosen], stored["labels"][chosen], stored["patients"][chosen]
    if arguments.maps:
        images = np.load(arguments.folder / arguments.maps / "maps_real.npy")[chosen]
    for size in arguments.sizes:
        weights = arguments.folder / arguments.name / "weights.npz"
        logits = evaluate(build_network("densenet121", len(FINDINGS), size, weights), images, size)
        found = {
            name: score_finding(labels[:, i], logits[:, i], patients.tolist()).as_dict()
            for i, name in enumerate(FINDINGS)
        }
        print(json.dumps({"run": arguments.name, "part": arguments.part, "size": size, "auroc": found}), flush=True)


def explain_films(classifier, images: np.ndarray, target: str) -> np.ndarray:
    """The product's own encoded maps uint8 (N, 224, 224) of images uint8 (N, 224, 224)."""
    from icbir_core.saliency.encoding import encode_map
    from icbir_core.saliency.registry import attribute

    scaled = images.astype(np.float32) / 255
    maps = [encode_map(attribute(classifier, scaled[i : i + 8], target)) for i in range(0, len(images), 8)]
    return np.rint(np.concatenate(maps) * 255).astype(np.uint8)


def ship(arguments: argparse.Namespace) -> None:
    """Calibrates on `tune`, scores `test` and simulated films that no run has seen, and writes the float16 pair."""
    from icbir_core.model.evaluation_card import describe_logits
    from icbir_core.model.network import build_network
    from icbir_core.model.scoring import score_finding
    from icbir_core.model.starter import CLASSIFIER_FILE, SALIENCY_FILE, save_starter

    with np.load(arguments.folder / "real.npz") as stored:
        real = {name: stored[name] for name in stored.files}
    held_back = arguments.folder / "simulated_held_back.npz"
    if not held_back.is_file():
        _simulate_chunk((held_back, arguments.unseen, UNSEEN_SEED, 288))
    with np.load(held_back) as stored:
        unseen, truth = stored["images"], stored["labels"]
    tune, test = real["part"] == "tune", real["part"] == arguments.judge
    parts = {
        "tune": (real["images"][tune], real["labels"][tune], real["patients"][tune].tolist()),
        "test": (real["images"][test], real["labels"][test], real["patients"][test].tolist()),
        "simulated": (unseen[: arguments.unseen], truth[: arguments.unseen], [None] * arguments.unseen),
    }
    classifier = None
    for kind, run in (("classifier", arguments.classifier), ("saliency_classifier", arguments.saliency)):
        path = arguments.directory / (CLASSIFIER_FILE if classifier is None else SALIENCY_FILE)
        weights = arguments.folder / run / "weights.npz"
        network = build_network("densenet121", len(FINDINGS), SIZE, weights)
        basis = {
            "kind": kind,
            "network": "densenet121",
            "findings": list(FINDINGS),
            "input": {"size": SIZE, "equalise": True},
            "training": {"runs": json.loads(arguments.runs.read_text())[kind] if arguments.runs else []},
        }
        if classifier is not None:
            basis |= {"classifier": classifier.sha256, "target": arguments.target, "map_method": "deep_taylor"}
        # Rounded to float16 first: what is calibrated and scored is what is shipped.
        rounded = save_starter(network, path, basis)
        logits = {}
        for name, (images, _, _) in parts.items():
            values = images
            if classifier is not None and name == "simulated":
                values = explain_films(classifier, images, arguments.target)
            elif classifier is not None:
                learnt = np.load(arguments.folder / arguments.classifier / "maps_real.npy")
                values = learnt[tune if name == "tune" else test]
                own = explain_films(classifier, images[:AGREEMENT_SAMPLE], arguments.target)
                agreement = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(own, values, strict=False)]
                print(f"{name}: maps agree with the product's, mean correlation {np.mean(agreement):.4f}", flush=True)
            logits[name] = evaluate(rounded.model, values, SIZE)
        facts = describe_logits(logits["tune"], parts["tune"][1], FINDINGS, parts["tune"][2])
        facts["auroc_tune"] = facts.pop("auroc")
        for name, key in (("test", "auroc"), ("simulated", "auroc_simulated")):
            labels, patients = parts[name][1], parts[name][2]
            facts[key] = {
                finding: score_finding(labels[:, i], logits[name][:, i], patients).as_dict()
                for i, finding in enumerate(FINDINGS)
            }
        written = save_starter(network, path, {**basis, **facts})
        print(json.dumps({kind: facts}), flush=True)
        classifier = classifier or written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def add(name: str, run) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=run.__doc__)
        command.add_argument("folder", type=Path)
        command.set_defaults(run=run)
        return command

    real = add("real", prepare_real)
    real.add_argument("--nih", type=Path, required=True)
    real.add_argument("--nih-effusion", type=Path, required=True)
    made = add("simulate", simulate)
    made.add_argument("--count", type=int, default=20000)
    made.add_argument("--first", type=int, default=0)
    made.add_argument("--seed", type=int, default=1_000_000)
    made.add_argument("--pixels", type=int, default=288)
    made.add_argument("--processes", type=int, default=1)
    run = add("fit", fit)
    run.add_argument("name")
    run.add_argument("--films", choices=("simulated", "real", "both"), default="both")
    run.add_argument("--without-extra", action="store_true", help="leave nih_effusion out")
    run.add_argument("--real-share", type=float, default=0.5)
    run.add_argument("--limit", type=int)
    run.add_argument("--size", type=int, default=128)
    run.add_argument("--start", default="none")
    run.add_argument("--epochs", type=int, default=10)
    run.add_argument("--epoch-size", type=int)
    run.add_argument("--batch", type=int, default=32)
    run.add_argument("--rate", type=float, default=1e-3)
    run.add_argument("--decay", type=float, default=0.02)
    run.add_argument("--warm-up", type=float, default=0.3)
    run.add_argument("--averaging", type=float, default=0.995)
    run.add_argument("--smoothing", type=float, default=0.0)
    run.add_argument("--positive-limit", type=float, default=3.0)
    run.add_argument("--augmentation", default="{}")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--workers", type=int, default=1, help="processes that share the work; start each with its --rank")
    run.add_argument("--rank", type=int, default=0)
    run.add_argument("--maps", help="learn from the maps of this run's network instead of the films")
    maps = add("maps", make_maps)
    maps.add_argument("name")
    maps.add_argument("--which", choices=("real", "simulated"), default="real")
    maps.add_argument("--limit", type=int, default=1500)
    maps.add_argument("--target", default="Effusion")
    maps.add_argument("--threads", type=int, default=2)
    judged = add("score", score)
    judged.add_argument("name")
    judged.add_argument("--part", default="tune")
    judged.add_argument("--sizes", type=int, nargs="+", default=[SIZE])
    judged.add_argument("--maps")
    shipped = add("ship", ship)
    shipped.add_argument("--classifier", required=True)
    shipped.add_argument("--saliency", required=True)
    shipped.add_argument("--target", default="Effusion")
    shipped.add_argument("--runs", type=Path, help="JSON: the commands by kind, for the manifests")
    shipped.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[1] / "assets" / "models")
    shipped.add_argument("--judge", choices=("test", "tune"), default="test", help="tune: a rehearsal")
    shipped.add_argument("--unseen", type=int, default=300, help="simulated films that no run has seen")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
