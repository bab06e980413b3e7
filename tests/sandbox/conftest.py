"""One running sandbox for all tests of the sandbox, as new before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.client import Sandbox


@pytest.fixture(scope="session")
def process() -> Iterator[Sandbox]:
    """A sandbox in its process."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    """The same, with nothing left of the test before."""
    process.reset()
    return process
