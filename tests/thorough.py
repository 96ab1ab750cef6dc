"""`PULLBACK_TEST_THOROUGH=1` in the environment: also run what takes minutes, as once a day."""

from __future__ import annotations

import os

import pytest

THOROUGH = os.environ.get("PULLBACK_TEST_THOROUGH") == "1"

thorough = pytest.mark.skipif(not THOROUGH, reason="takes minutes: PULLBACK_TEST_THOROUGH=1 runs it")
