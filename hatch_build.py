"""What the wheel carries beside the two packages; `icbir_core.files.find_program_folder` says where it lies.

A hook and not a table of pyproject.toml, because a table would be copied by `pip install -e` as well.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROGRAM = ("app.py", "pages", "assets", ".streamlit")


class ProgramFiles(BuildHookInterface):
    """Puts the pages and the data of the program inside `icbir_core` of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build. version : "standard" for a wheel, "editable" for `pip install -e`."""
        if version == "standard":
            build_data["force_include"] |= {name: f"icbir_core/_program/{name}" for name in PROGRAM}
