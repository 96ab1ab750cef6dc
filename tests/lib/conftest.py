"""Fixtures of the tests of `lib`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import oracle


@pytest.fixture
def together() -> Iterator[None]:
    """What a test asks of JAX is compiled as a whole (`oracle.together`)."""
    with oracle.together():
        yield
