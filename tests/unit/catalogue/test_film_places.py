"""Films at a URL: the same cases, hashes and commands as in the folder, and what is damaged there is found."""

from __future__ import annotations

import pytest
from fsspec import register_implementation

from icbir_core.audit.log import open_audit
from icbir_core.catalogue import IngestOptions, Workspace, ingest, read_case_radiograph
from icbir_core.catalogue.film_places import LocalFilms, RemoteFilms, check_url
from icbir_core.catalogue.storing import read_case_shape
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import FilmsAway, WorkspaceError
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.keeping.moving import move_films
from icbir_core.pipeline.erasing import erase_from_workspace, plan_erasure
from icbir_core.radiograph.writing import write_lossless
from tests.helpers import fakes
from tests.helpers.faulty_files import FaultyFiles


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Films at a place that can be made to fail by `monkeypatch.setattr(FaultyFiles, "fault", …)`."""
    register_implementation("faulty", FaultyFiles, clobber=True)
    place = RemoteFilms(f"faulty://{tmp_path}/far")
    place.write("images/a.png", b"whole")
    return place


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


def test_a_move_that_was_cut_short_is_ended_by_a_second_one(films, tmp_path, monkeypatch, capsys):
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("folder", films))
    running = Workspace.open(workspace.path)
    case = running.catalogue.get("film_2")
    assert isinstance(running.films, LocalFilms)

    def stop(place, name):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalFilms, "delete", stop)
        with pytest.raises(KeyboardInterrupt):
            move_films(workspace, f"file://{tmp_path}/store")
    assert len(list(workspace.images.iterdir())) == 3
    assert find_faults(running)[0].startswith("left: 3 films still in the folder (film_0.png, ")
    assert read_case_radiograph(running, case).sha256 == case.sha256 and isinstance(running.films, RemoteFilms)
    erase_from_workspace(running, plan_erasure(running, ["film_0"], []))
    assert not (workspace.images / "film_0.png").exists()
    (workspace.images / "film_1.png").write_bytes(b"other")
    assert main(["move-films", str(workspace.path), f"file://{tmp_path}/elsewhere"]) == 0
    (address,) = (tmp_path / "store").iterdir()
    said = capsys.readouterr().out
    assert f"'file://{address}'" in said and "1 deleted in the folder" in said and "still holds 1 file that" in said
    assert [file.name for file in workspace.images.iterdir()] == ["film_1.png"]
    assert not (tmp_path / "elsewhere").exists()
    assert [one.details for one in open_audit(running).entries()] == [{"films": 0, "deleted": 1}]


def test_a_move_that_was_killed_while_it_copied_is_ended_at_the_same_place(films, tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("folder", films))
    written = RemoteFilms.write

    def stop(place, name, data):
        written(place, name, data)
        if name.endswith("film_1.png"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RemoteFilms, "write", stop)
        move_films(workspace, f"file://{tmp_path}/store")
    assert isinstance(Workspace.open(workspace.path).films, LocalFilms)
    erase_from_workspace(workspace, plan_erasure(workspace, ["film_0"], []))
    assert move_films(workspace, f"file://{tmp_path}/store/").films == 2
    (address,) = (tmp_path / "store").iterdir()
    assert sorted(file.name for file in (address / "images").iterdir()) == ["film_1.png", "film_2.png"]
    assert find_faults(workspace) == [] and not list(workspace.path.glob(".films*"))


def test_what_cannot_be_deleted_is_told_and_what_is_gone_is_not(faulty, monkeypatch):
    monkeypatch.setattr(FaultyFiles, "fault", ("all", PermissionError("Access Denied")))
    with pytest.raises(WorkspaceError, match="'images/a.png' cannot be reached .no right"):
        faulty.delete("images/a.png")
    with pytest.raises(WorkspaceError, match="^The folder of the films cannot be reached .no right"):
        faulty.list_names()
    monkeypatch.undo()
    assert faulty.read("images/a.png") == b"whole"
    for _ in range(2):
        faulty.delete("images/a.png")
    assert faulty.list_names() == []


def test_a_film_is_written_whole_or_not_at_all(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr(FaultyFiles, "fault", ("pipe_file", OSError(16, "Slow down: host-7.example")))
    for name in ("images/a.png", "images/b.png"):
        with pytest.raises(FilmsAway, match=r"cannot be reached \(Device or resource busy\); try again later"):
            faulty.write(name, b"other film")
    monkeypatch.setattr(FaultyFiles, "fault", ("all", OSError(16, "Slow down")))
    with pytest.raises(FilmsAway):  # nor can what was begun be taken away
        faulty.write("images/b.png", b"other film")
    monkeypatch.undo()
    assert faulty.read("images/a.png") == b"whole" and faulty.list_names() == ["images/a.png"]
    assert len(list((tmp_path / "far" / "images").iterdir())) == 2
    faulty.remove_partial()
    assert [file.name for file in (tmp_path / "far" / "images").iterdir()] == ["a.png"]
    faulty.write("images/a.png", b"other film")
    assert faulty.read("images/a.png") == b"other film" and faulty.list_names() == ["images/a.png"]


def test_verify_and_ingest_tell_a_place_that_is_away_or_refuses(films, tmp_path, monkeypatch):
    register_implementation("faulty", FaultyFiles, clobber=True)
    monkeypatch.setenv("ICBIR_FILMS", f"faulty://{tmp_path}/far")
    workspace = Workspace.create(tmp_path / "w")
    ingest(workspace, IngestOptions("folder", films))
    for fault, said in (
        (TimeoutError(), "cannot be reached (TimeoutError); try again later."),
        (PermissionError("Forbidden"), "cannot be reached (no right); check the rights to the place of the films."),
    ):
        monkeypatch.setattr(FaultyFiles, "fault", ("all", fault))
        assert find_faults(workspace) == [f"films: The film 'images/film_0.png' {said}"]
        with pytest.raises(WorkspaceError, match="cannot be reached"):
            back_up(workspace, tmp_path / "copy")
        with pytest.raises(WorkspaceError, match="cannot be reached"):
            erase_from_workspace(workspace, plan_erasure(workspace, ["film_0"], []))
        write_lossless(fakes.make_radiograph(9), films / "film_9.png")
        with pytest.raises(WorkspaceError, match="cannot be reached"):
            ingest(workspace, IngestOptions("folder", films))
    monkeypatch.setattr(FaultyFiles, "fault", None)
    assert ingest(workspace, IngestOptions("folder", films)).added == 1 and find_faults(workspace) == []
