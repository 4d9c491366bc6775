"""Films at a URL: the same cases, hashes and commands as in the folder, and what is damaged there is found."""

from __future__ import annotations

import pytest

from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.catalogue.film_places import RemoteFilms, check_url
from icbir_core.catalogue.storing import read_case_shape
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import WorkspaceError
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.pipeline.erasing import erase_from_workspace, plan_erasure
from icbir_core.radiograph.writing import write_lossless
from tests.helpers import fakes


@pytest.fixture
def films(tmp_path):
    for seed in range(3):
        (tmp_path / "films").mkdir(exist_ok=True)
        write_lossless(fakes.make_radiograph(seed), tmp_path / "films" / f"film_{seed}.png")
    return tmp_path / "films"


def find_faults(workspace: Workspace) -> list[str]:
    return [f"{one.name}: {one.text}" for one in verify_workspace(workspace) if not one.passed]


def test_a_workspace_whose_films_lie_at_a_url(films, tmp_path, monkeypatch):
    local = Workspace.create(tmp_path / "local")
    ingest(local, IngestOptions("folder", films))
    monkeypatch.setenv("ICBIR_FILMS", f"file://{tmp_path}/store/")
    made = Workspace.create(tmp_path / "w")
    ingest(made, IngestOptions("folder", films))
    workspace = Workspace.open(made.path)
    assert not list(workspace.images.iterdir()) and len(workspace.films.list_names()) == 3
    assert workspace.catalogue.sha256() == local.catalogue.sha256() and find_faults(workspace) == []
    case = workspace.catalogue.get("film_1")
    pixels = read_case_radiograph(workspace, case).pixels
    assert (pixels == read_case_radiograph(local, case).pixels).all()
    assert read_case_shape(workspace, case) == pixels.shape

    back_up(workspace, tmp_path / "copy")
    restore_backup(tmp_path / "copy", tmp_path / "again")
    again = Workspace.open(tmp_path / "again")
    assert len(again.films.list_names()) == 3 and find_faults(again) == [], "a copy holds its films itself"
    assert main(["move-films", str(again.path), f"file://{tmp_path}/other"]) == 0
    assert find_faults(Workspace.open(again.path)) == [] and not list(again.images.iterdir())
    assert main(["move-films", str(again.path), f"file://{tmp_path}/other"]) == 1

    (stored,) = (tmp_path / "store").glob("icbir-*/images/film_1.png")
    whole = stored.read_bytes()
    write_lossless(fakes.make_radiograph(50), stored)
    with pytest.raises(WorkspaceError, match="'film_1' is not the one that was stored"):
        read_case_radiograph(workspace, case)
    assert any(line.startswith("hashes: 1 film changed") for line in find_faults(workspace))
    stored.unlink()
    with pytest.raises(WorkspaceError, match="'film_1' is missing"):
        read_case_radiograph(workspace, case)
    workspace.films.write(case.path, whole)
    erase_from_workspace(workspace, plan_erasure(workspace, ["film_1"], []))
    assert len(workspace.films.list_names()) == 2 and not stored.exists()


def test_an_address_that_is_none_or_tells_a_password_is_refused(tmp_path):
    for wrong in ("bucket/films", "s3://key:secret@bucket/films", "s3://", "nowhere://bucket"):
        with pytest.raises(WorkspaceError, match="Films cannot lie at"):
            RemoteFilms(wrong)
    assert check_url("s3://bucket/films/") == "s3://bucket/films"
