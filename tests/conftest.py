"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import settings

# JAX compiles within some examples, and machines may be busy: time says nothing about correctness here.
# Examples are the same at each run, so that a change is judged by what it changes.
settings.register_profile("pullback", deadline=None, derandomize=True)
settings.load_profile("pullback")
