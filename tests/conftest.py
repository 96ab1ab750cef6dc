"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import settings

# JAX compiles within some examples, and machines may be busy: time says nothing about correctness here.
settings.register_profile("pullback", deadline=None)
settings.load_profile("pullback")
