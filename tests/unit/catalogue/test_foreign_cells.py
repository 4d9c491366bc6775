"""A file that is no table of labels, named as one, tells nothing of what it holds."""

from __future__ import annotations

import pytest

from icbir_core.catalogue import LAYOUTS, IngestOptions, Workspace, ingest
from icbir_core.catalogue.layouts.fields import describe_cell, describe_columns
from icbir_core.errors import CatalogueError

SECRETS = (
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
    "root:$6$salt$hash:19000:0:99999:7:::\n",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n",
    "password = hunter2, second = hunter3\n",
    "SMITH JANE;1931-02-03;Effusion\nMILLER;1950-01-01;None\n",
)
PARTS = ("root", "daemon", "salt", "PRIVATE", "hunter", "SMITH", "JANE", "1931", "MIIE")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("dicom", "dicomweb")])
@pytest.mark.parametrize("text", SECRETS)
def test_no_cell_of_a_foreign_file_stands_in_a_message(layout, text, tmp_path):
    secret = tmp_path / "table.csv"
    secret.write_text(text)
    (tmp_path / "images").mkdir()
    workspace = Workspace.create(tmp_path / "w")
    said = ""
    try:
        report = ingest(workspace, IngestOptions(layout, tmp_path / "images", secret))
        said = str(report)
    except CatalogueError as error:
        said = str(error)
    told = said.replace(str(tmp_path), "")
    assert told and not [part for part in PARTS if part in told]


def test_columns_that_a_table_of_labels_may_have_are_told():
    given = ["Image Index", "Patient ID", "Effusion", "SMITH JANE", "View Position", "root:x:0:0"]
    assert describe_columns(given) == "Image Index, Patient ID, Effusion, View Position, 2 columns of other names"
    assert describe_columns([]) == "nothing"
    assert [describe_cell(text) for text in ("2", "-1.5")] == ["'2'", "'-1.5'"]
    assert {describe_cell(text) for text in ("SMITH", "19310203", "")} == {"another text"}
