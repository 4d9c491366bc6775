"""A network of somebody else, in ONNX or Keras, becomes an encoder of a workspace (`fetch model NAME --manifest`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import ModelError
from icbir_core.files import PathLike, replace_atomically, sha256_of_file, write_json_atomically
from icbir_core.model.backbones import BACKBONES
from icbir_core.model.encoders import FOLDER, NAME, Encoder, load_encoder
from icbir_core.model.foreign import FOREIGN_INPUT, KERAS, ONNX, open_foreign, read_facts

_NEEDED = ("network", "input", "embedding")


def install_encoder(name: str, file: PathLike, manifest: PathLike, workspace: Workspace) -> Encoder:
    """Try the network of `file` on an even film as its manifest says, copy it with its manifest into the workspace,
    with every file's hash, and load it from there.

    Raises `ModelError` for a name, file or manifest that cannot be used, or where the workspace has another file of
    that name.
    """
    file = Path(file)
    if not NAME.fullmatch(name):
        raise ModelError(f"'{name}' cannot name an encoder; use small letters, digits and _.")
    if not file.is_file() or file.suffix not in (ONNX, KERAS):
        raise ModelError(f"'{file.name}' is no file that ends in {ONNX} or {KERAS}.")
    facts = _read_facts(Path(manifest))
    beside: dict[str, str] = {}
    if file.suffix == ONNX:
        from icbir_core.model.onnx_files import hash_external_files

        beside = hash_external_files(file)
    sha256 = sha256_of_file(file)
    _try(name, facts, file)
    folder = workspace.models / FOLDER
    target = folder / f"{name}{file.suffix}"
    facts |= {"format": 1, "kind": "encoder", "file": target.name, "sha256": sha256, "files": beside}
    sources = {target: (file, sha256)}
    sources |= {folder / one: (file.with_name(one), found) for one, found in beside.items()}
    with workspace.lock("training", seconds=1):
        folder.mkdir(parents=True, exist_ok=True)
        for path, (_, found) in sources.items():
            if path.exists() and sha256_of_file(path) != found:
                raise ModelError(f"The workspace has another '{path.name}'; choose another name, or remove that file.")
        # the manifest goes last: until then there is no encoder of this name
        for path, (source, _) in sources.items():
            with replace_atomically(path) as aside:
                shutil.copyfile(source, aside)
        write_json_atomically(folder / f"{name}.json", facts)
    return load_encoder(folder / f"{name}.json")


def _read_facts(path: Path) -> dict[str, Any]:
    facts = read_facts(path, "write it as docs/how-to/foreign-encoder.md says")
    lacking = [name for name in _NEEDED if name not in facts]
    if lacking:
        raise ModelError(f"The manifest '{path.name}' lacks {lacking[0]}; see docs/how-to/foreign-encoder.md.")
    if facts["network"] in BACKBONES:
        raise ModelError(f"{facts['network']} is a network of this program's own; see docs/how-to/encoder.md.")
    if isinstance(facts["input"], dict):
        facts["input"] = FOREIGN_INPUT | facts["input"]
    return facts


def _try(name: str, facts: dict[str, Any], file: Path) -> None:
    """Run the network once. Raises `ModelError` if it does not do what the manifest says."""
    network = open_foreign(name, facts, file)
    film = np.full((1, network.size, network.size), 0.5, np.float32)
    network.features(film)
    if network.findings:
        network.scores(film)
