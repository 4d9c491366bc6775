"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.tiny_network import tiny_networks


@pytest.fixture(scope="module")
def small_networks() -> Iterator[None]:
    """Where what a network learns is not asked, a tiny one does."""
    with tiny_networks():
        yield
