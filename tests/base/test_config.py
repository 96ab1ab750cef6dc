"""Configuration flags: names, values, threads, contexts; names and defaults against JAX's."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base import config as config_module
from pullback._src.base.config import (
    config,
    debug_nans,
    default_matmul_precision,
    default_prng_impl,
    disable_jit,
    enable_x64,
    numpy_dtype_promotion,
    numpy_rank_promotion,
    settings,
    trace_context,
)

oracle: Any = jax.config  # for the type checker: its attributes are made at run time

JAX_NAMES = [
    "jax_enable_x64", "jax_debug_nans", "jax_debug_infs", "jax_disable_jit", "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion", "jax_threefry_partitionable", "jax_default_matmul_precision",
    "jax_check_tracer_leaks", "jax_platform_name", "jax_platforms", "jax_log_compiles",
    "jax_explain_cache_misses", "jax_traceback_filtering", "jax_default_prng_impl", "jax_enable_checks",
    "jax_softmax_custom_jvp", "jax_enable_custom_prng", "jax_default_device", "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
]  # fmt: skip


@pytest.fixture(autouse=True)
def restored_defaults() -> Iterator[None]:
    before = dict(config.values)
    yield
    for name, value in before.items():
        config.update(name, value)


@pytest.mark.parametrize("name", JAX_NAMES)
def test_every_spelling_reads_the_same_flag(name: str) -> None:
    bare = name.removeprefix("jax_")
    values = [getattr(config, spelling) for spelling in (name, bare, f"pullback_{bare}")]
    assert values == [config.read(name)] * 3


def test_defaults_are_those_of_jax_but_for_the_stated_ones() -> None:
    ours = dict(config.values)
    assert ours.pop("jax_threefry_partitionable") is False  # the numbers of JAX's older documentation
    assert ours.pop("jax_softmax_custom_jvp") is True
    # JAX has no such flags.
    assert ours.pop("jax_num_threads") is None
    assert ours.pop("jax_engine") == "llvm"
    assert ours.pop("jax_background_compilation") is True
    # JAX keeps its command-line flags elsewhere.
    assert ours.pop("jax_platform_name") is None
    for name, value in ours.items():
        assert value == getattr(oracle, name), name


def test_update_is_seen_everywhere() -> None:
    config.update("jax_enable_x64", True)
    assert config.x64 is True
    assert config.jax_enable_x64 is True
    assert settings().enable_x64 is True
    assert enable_x64.value is True and enable_x64.get() is True
    config.update("x64", False)
    assert config.x64 is False


def test_overlay_nests_and_ends() -> None:
    with enable_x64(True):
        assert config.x64
        with enable_x64(False), numpy_rank_promotion("raise"):
            assert not config.x64
            assert config.numpy_rank_promotion == "raise"
        assert config.x64
        assert config.numpy_rank_promotion == "allow"
    assert not config.x64
    with pytest.raises(RuntimeError, match="inside"), enable_x64(True):
        raise RuntimeError("inside")
    assert not config.x64


def test_overlay_is_reentrant_and_binds_no_name() -> None:
    context = enable_x64(True)
    with context as outer, context as inner:
        assert outer is None and inner is None
        assert config.x64
    assert not config.x64


def test_boolean_contexts_mean_true_when_no_value_is_given() -> None:
    with debug_nans(), disable_jit(), config_module.checking_leaks():
        assert config.debug_nans and config.disable_jit and config.check_tracer_leaks
    for flag in (numpy_dtype_promotion, default_prng_impl, default_matmul_precision):
        with pytest.raises(TypeError, match="needs the value to set"):
            flag()


def test_decorator_sets_the_flag_during_each_call() -> None:
    @enable_x64(True)
    def wide(increment: int) -> tuple[bool, int]:
        """Docs."""
        return config.x64, increment + 1

    assert wide(1) == (True, 2)
    assert wide.__name__ == "wide" and wide.__doc__ == "Docs."
    assert not config.x64


def in_thread(function: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_overlay_is_private_to_its_thread_and_update_is_not() -> None:
    with enable_x64(True):
        assert in_thread(lambda: config.x64) is False
    config.update("jax_enable_x64", True)
    assert in_thread(lambda: config.x64) is True
    with enable_x64(False):
        assert in_thread(lambda: config.x64) is True


def test_update_reaches_a_running_thread_that_overlays_another_flag() -> None:
    inside, updated, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with debug_nans(True):
            inside.set()
            updated.wait(10)
            seen.append((config.debug_nans, config.x64, dict(trace_context().values)["enable_x64"]))

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    config.update("jax_enable_x64", True)
    updated.set()
    thread.join()
    assert seen == [(True, True, True)]


def test_update_inside_an_overlay_of_the_flag_shows_after_it() -> None:
    with enable_x64(False):
        config.update("jax_enable_x64", True)
        assert not config.x64
    assert config.x64


def test_overlay_is_private_to_its_asyncio_task() -> None:
    async def inside(started: asyncio.Event, finish: asyncio.Event) -> bool:
        with enable_x64(True):
            started.set()
            await finish.wait()
            return config.x64

    async def main() -> tuple[bool, bool]:
        started, finish = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(inside(started, finish))
        await started.wait()
        outside = config.x64
        finish.set()
        return outside, await task

    assert asyncio.run(main()) == (False, True)


def test_trace_context_is_one_object_for_each_combination() -> None:
    base = trace_context()
    with enable_x64(True):
        wide = trace_context()
        assert wide is not base and wide is config.trace_context()
        with default_matmul_precision("highest"):
            assert trace_context() not in (base, wide)
        with enable_x64(False):
            assert trace_context() is base
    with enable_x64(True):
        assert trace_context() is wide
    config.update("jax_enable_x64", True)
    assert trace_context() is wide
    with debug_nans(True), disable_jit(True):
        assert trace_context() is wide  # these do not change programs
    assert copy.deepcopy(wide) is wide
    assert pickle.loads(pickle.dumps(wide)) is wide
    assert "enable_x64=True" in repr(wide)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("jax_enable_x46", "'jax_enable_x64'"),
        ("debug_nan", "'debug_nans'"),
        ("pullback_numpy_dtype_promotoin", "'pullback_numpy_dtype_promotion'"),
        ("jax_zzzzzz", "The flags are: "),
    ],
)
def test_unknown_names_raise_and_suggest(name: str, match: str) -> None:
    with pytest.raises(AttributeError, match=match):
        config.update(name, True)
    with pytest.raises(AttributeError, match=match):
        config.read(name)
    with pytest.raises(AttributeError, match=match):
        getattr(config, name)


def test_assignment_is_refused_with_the_remedy() -> None:
    with pytest.raises(AttributeError, match=r"config\.update\('jax_enable_x64', True\)"):
        config.jax_enable_x64 = True


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("jax_enable_x64", "perhaps", "takes True or False, but got 'perhaps' of type str"),
        ("jax_enable_x64", 2, "takes True or False"),
        ("jax_enable_x64", None, "takes True or False"),
        ("jax_numpy_dtype_promotion", "loose", "one of 'standard', 'strict', but got 'loose'"),
        ("jax_numpy_rank_promotion", True, "one of 'allow', 'warn', 'raise'"),
        ("jax_default_matmul_precision", "best", "'highest'"),
        ("jax_platforms", 3, "a string or None"),
    ],
)
def test_unsuitable_values_raise_and_change_nothing(name: str, value: object, match: str) -> None:
    before = config.read(name)
    with pytest.raises(ValueError, match=match):
        config.update(name, value)
    assert config.read(name) == before


@pytest.mark.parametrize(
    ("value", "expected"), [(1, True), (0, False), (np.True_, True), ("on", True), ("F", False)]
)
def test_boolean_flags_take_the_usual_words(value: object, expected: bool) -> None:
    config.update("jax_debug_nans", value)
    assert config.debug_nans is expected


@pytest.mark.parametrize("precision", [*config_module.MATMUL_PRECISIONS, None])
def test_matmul_precisions_are_those_of_jax(precision: str | None) -> None:
    with default_matmul_precision(precision), jax.default_matmul_precision(precision):
        assert config.default_matmul_precision == oracle.jax_default_matmul_precision


def test_a_flag_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"enable_x64\.value"):
        bool(enable_x64)


def test_configuration_lists_itself() -> None:
    assert {"x64", "jax_enable_x64", "update"} <= set(dir(config))
    assert "enable_x64=False" in repr(config)
    assert repr(enable_x64) == "Flag(enable_x64=False)"
    assert set(config_module.__all__) <= set(vars(config_module))


def run_with_environment(**variables: str) -> subprocess.CompletedProcess[str]:
    code = (
        "from pullback._src.base.config import config; "
        "print(config.x64, config.numpy_rank_promotion, config.platforms)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_environment_variables_set_defaults() -> None:
    done = run_with_environment(
        PULLBACK_ENABLE_X64="1", PULLBACK_NUMPY_RANK_PROMOTION="warn", PULLBACK_PLATFORMS="cpu"
    )
    assert done.stdout.split() == ["True", "warn", "cpu"], done.stderr
    done = run_with_environment(PULLBACK_ENABLE_X64="false", PULLBACK_PLATFORMS="none")
    assert done.stdout.split() == ["False", "allow", "None"], done.stderr


def test_a_bad_environment_variable_is_named() -> None:
    done = run_with_environment(PULLBACK_ENABLE_X64="maybe")
    assert done.returncode != 0
    assert "Environment variable PULLBACK_ENABLE_X64" in done.stderr
