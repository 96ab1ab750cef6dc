"""Settings of the whole test suite."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from importlib.metadata import version

import pytest
from hypothesis import settings

# JAX is the oracle of many tests, most of which compile something new and run it once on a few numbers: it
# had better compile quickly than well. XLA aborts at flags that it does not know: other versions do without.
if version("jaxlib").startswith("0.10."):
    # Optimisation itself stays: without it, what is computed in two places may differ by a multiply-add.
    flags = [
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
    os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])
# Programs are compiled into a folder of this run's own, which its processes share. The process that made it
# removes it.
if "PULLBACK_CACHE_DIR" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="pullback-tests-")
    os.environ["PULLBACK_CACHE_DIR"] = _folder.name
# What a shell starts in the background ignores Control-C, and so do its children, which some tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Matrices here are small: threads of BLAS would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# JAX compiles within some examples, and machines may be busy: time says nothing about correctness here.
# Examples are the same at each run, so that a change is judged by what it changes.
settings.register_profile("pullback", deadline=None, derandomize=True)
settings.load_profile("pullback")


# Collecting makes thousands of tests, none of them garbage: looking through them again and again would take a
# fifth of the time.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let the garbage collector leave alone what lives as long as the run: modules and thousands of tests."""
    gc.enable()
    gc.collect()
    gc.freeze()
