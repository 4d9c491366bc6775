"""Small pictures are made once, lie where `erase` finds them, and are no part of a copy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace, thumbnails
from icbir_core.catalogue.erasing import erase_from_catalogue
from icbir_core.errors import WorkspaceError
from icbir_core.keeping.backup import back_up
from tests.helpers import fakes

pytestmark = pytest.mark.usefixtures("either_database")


@pytest.fixture
def workspace(tmp_path):
    return fakes.make_workspace(tmp_path / "w")


def test_the_whole_film_is_shown_without_stretching():
    pixels = np.zeros((400, 200), np.float32)
    pixels[:200] = 1.0
    small = cv2.imdecode(np.frombuffer(thumbnails.make_thumbnail(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (96, 96)
    assert small[10, 48] > 240 and small[86, 48] < 15 and small[10, 10] < 15, "light above, dark below, black beside"


def test_it_is_made_once_and_goes_with_the_case(workspace, tmp_path, monkeypatch):
    case = workspace.catalogue.cases()[2]
    data = thumbnails.read_thumbnail(workspace, case)
    monkeypatch.setattr(thumbnails, "read_case_radiograph", lambda *_: pytest.fail("read again"))
    assert thumbnails.read_thumbnail(workspace, case) == data and thumbnails.find_thumbnail(workspace, case).is_file()
    back_up(workspace, tmp_path / "copy")
    assert not (tmp_path / "copy" / thumbnails.FOLDER).exists()
    erase_from_catalogue(workspace, [case])
    assert not list((workspace.path / thumbnails.FOLDER).iterdir())


def test_a_missing_film_is_a_named_error_and_a_folder_that_cannot_be_written_is_none(workspace):
    first, second = workspace.catalogue.cases()[:2]
    (workspace.path / first.path).unlink()
    with pytest.raises(WorkspaceError, match="is missing"):
        thumbnails.read_thumbnail(workspace, first)
    (workspace.path / thumbnails.FOLDER).write_text("in the way")
    assert thumbnails.read_thumbnail(Workspace.open(workspace.path), second)[:2] == b"\xff\xd8"
