"""Settings of the whole test suite."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from hypothesis import settings

# JAX is the oracle of many tests, most of which compile something new and run it once on a few numbers: it
# had better compile quickly than well. XLA aborts at flags that it does not know: other versions do without.
if version("jaxlib").startswith("0.10."):
    flags = [
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
    if platform.machine() in ("x86_64", "AMD64"):
        # Without optimisation, what is computed in two places is equal only without multiply-add, hence AVX.
        flags += ["--xla_backend_optimization_level=0", "--xla_cpu_max_isa=AVX"]
    os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])
# Matrices here are small: threads of BLAS would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# JAX compiles within some examples, and machines may be busy: time says nothing about correctness here.
# Examples are the same at each run, so that a change is judged by what it changes.
settings.register_profile("pullback", deadline=None, derandomize=True)
settings.load_profile("pullback")
