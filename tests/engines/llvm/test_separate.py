"""Scans with long bodies as functions of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax, random
from pullback._src.base.config import num_threads
from pullback._src.core import engine as registry
from pullback._src.engines.llvm import separate
from pullback._src.engines.llvm.engine import Compilation

from .agreement import draw, same
from .test_soundness import _bits, _compiled, _run_guarded

Body = Callable[[Any, Any], Any]


def twice(body: Body, first: Callable[[Any], Any]) -> Callable[..., Any]:
    """A program with two loops: forward from a first state made of x, and backward from the last one."""

    def f(x: Any) -> Any:
        state, seen = lax.scan(body, first(x), x)
        return lax.scan(body, state, x + 1, reverse=True), seen

    return f


def _gradient(x: Any) -> Any:
    w = jnp.outer(jnp.cos(x[0]), x[1][:3]) * jnp.float32(0.3)

    def loss(w: Any, h: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            h = jnp.tanh(w @ h + row[:3].sum())[:3]
            return h, (h * row[:3]).sum()

        return lax.scan(step, h, x)[1].sum()

    return pb.value_and_grad(loss, (0, 1))(w, x[2][:3])


def _updated(state: Any, row: Any) -> Any:
    """A large state that each turn changes in place, and a small one of several dtypes."""
    table, k, odd, z, key = state
    i = k % table.shape[0]
    table = table.at[i].add(row).at[(i + 1) % table.shape[0]].mul(jnp.float32(0.5))
    key, other = random.split(key)
    z = z * lax.complex(row[:5], row[:5]) + random.uniform(other)
    return (table, k + 3, ~odd, z, key), (table[0], odd, z)


def _nested(c: Any, row: Any) -> Any:
    def inner(d: Any, v: Any) -> Any:
        return jnp.sin(d) * v + c[:7].sum() / (1 + c.shape[0]), d[0] > 0

    d, signs = lax.scan(inner, row[:7], row)
    d, more = lax.scan(inner, d, row[::-1])
    c = c * jnp.float32(0.25) + d.sum()
    return c, (signs, more, c.sum())


def _branches(c: Any, row: Any) -> Any:
    c = lax.cond(row[0] > 0, lambda c: jnp.sin(c) + row, lambda c: c[::-1], c)
    return lax.while_loop(lambda s: jnp.abs(s).sum() > 3, lambda s: s * jnp.float32(0.6), c), c.max()


def _exchanged(state: Any, row: Any) -> Any:
    a, b = state
    return (b, a * jnp.float32(0.5) + row), a.sum()


PROGRAMS: dict[str, Callable[..., Any]] = {
    "a gradient": _gradient,
    "a small state": twice(lambda c, row: (jnp.tanh(c * row[:3]), c), lambda x: x[0][:3]),
    "a scalar": twice(lambda c, row: (jnp.sin(c + row.sum()), (c, row * c)), lambda x: x[0, 0]),
    "a large state": twice(
        lambda c, row: (jnp.outer(row, row) + c.T, c.sum(0)), lambda x: jnp.outer(x[0], x[1])
    ),
    "changed in place": twice(
        _updated,
        lambda x: (x * 2, 0, jnp.arange(5) > 2, jnp.ones(5, jnp.complex64), random.key(3)),
    ),
    "states that change places": twice(
        _exchanged, lambda x: (jnp.outer(x[0], x[1]), jnp.outer(x[1], x[0]))
    ),
    "loops inside": twice(_nested, lambda x: x[0]),
    "branches inside": twice(_branches, lambda x: x[0]),
    "no state": lambda x: [lax.map(g, x) for g in (jnp.sin, jnp.cos)],
    "an unused result": lambda x: twice(lambda c, r: (c * r, c), lambda x: x[1])(x)[0][0],
    "float16": twice(
        lambda c, r: (jnp.sin(c * r.astype(c.dtype)), r), lambda x: x[0].astype(jnp.float16)
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def always(monkeypatch: Any) -> None:
    """What is short is long enough."""
    monkeypatch.setattr(separate, "LONG_BODY", 1)
    monkeypatch.setattr(separate, "WORTH_CALLING", 0.0)


def calls(compilation: Compilation) -> int:
    return compilation.text.count("call i32 @loop")


@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_change_nothing(name: str) -> None:
    """The bits are those of loops that are written where they stand."""
    compilation, values, program = _compiled(PROGRAMS[name], draw(13, 9))
    assert calls(compilation) == {"loops inside": 6}.get(name, 2)
    inline = Compilation(program, shares=False)
    assert not calls(inline)
    expected = _bits(inline.finish()(values))
    for threads in (1, 3):
        with num_threads(threads):
            assert _bits(compilation.finish()(values)) == expected
    for found, reference in zip(
        compilation.finish()(values), registry.get("numpy").compile(program)(values), strict=True
    ):
        if found.aval.dtype.kind in "fc":
            tolerance = 2e-2 if found.aval.dtype.itemsize == 2 else 2e-4
            np.testing.assert_allclose(found._data, reference._data, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_within_guarded_memory(name: str) -> None:
    for shape in ((12, 12), (2, 9), (7, 33)):
        compilation, values, program = _compiled(PROGRAMS[name], draw(*shape))
        executable = compilation.finish()
        expected = _bits(Compilation(program, shares=False).finish()(values))
        for end in (True, False):
            found = _run_guarded(compilation, executable, values, end)
            assert [a.tobytes() for a in found] == expected


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_few_turns(length: int) -> None:
    def f(x: Any, c: Any) -> Any:
        step: Body = lambda c, row: (c * row, c.sum())
        c, a = lax.scan(step, c, x)
        return lax.scan(step, c, x, reverse=True), a

    x, c = draw(length, 300), draw(300)
    compilation, _, _ = _compiled(f, x, c)
    (last, back), seen = pb.jit(f)(x, c)
    product = np.prod(x, 0) if length else np.ones(300, np.float32)
    np.testing.assert_allclose(last, c * product * product, rtol=1e-4)
    assert calls(compilation) == (2 if length else 0)
    np.testing.assert_allclose(seen, [(c * np.prod(x[:k], 0)).sum() for k in range(length)], rtol=1e-3)
    assert back.shape == (length,)


def test_donated_states() -> None:
    """A donated first state is the loop's memory."""

    def f(c: Any, x: Any) -> Any:
        step: Body = lambda c, row: (c.at[0].add(row), c[1])
        c, seen = lax.scan(step, c, x)
        return lax.scan(step, c, x * 2)[0], seen

    c, x = draw(400, 3), draw(20, 3)
    expected = _bits(pb.jit(f)(jnp.asarray(c), x))
    given = jnp.asarray(c)
    where = given._data.ctypes.data
    found = pb.jit(f, donate_argnums=0)(given, x)
    assert _bits(found) == expected
    assert given.is_deleted()
    assert found[0]._data.ctypes.data == where


def test_what_stays_where_it_stands(monkeypatch: Any) -> None:
    f, x = PROGRAMS["a small state"], draw(13, 9)
    assert calls(_compiled(lambda x: lax.scan(lambda c, r: (c * r, c), x[0], x), x)[0]) == 0  # the only one
    monkeypatch.setattr(separate, "LONG_BODY", 50)
    assert calls(_compiled(f, x)[0]) == 0
    monkeypatch.setattr(separate, "LONG_BODY", 1)
    monkeypatch.setattr(separate, "WORTH_CALLING", 1e9)
    assert calls(_compiled(f, x)[0]) == 0
    monkeypatch.setattr(separate, "WORTH_CALLING", 0.0)
    monkeypatch.setattr(separate, "WORTH_SHARING", 1.0)  # threads share the loops in the body
    assert calls(_compiled(f, x)[0]) == 0


def test_what_runs_in_python_stays_where_it_stands() -> None:
    def f(x: Any) -> Any:
        step: Body = lambda c, r: (lax.cummax(lax.complex(c, r)).real, c)
        c, seen = lax.scan(step, x[0], x)
        return lax.scan(step, c, x)[0], seen

    compilation, values, program = _compiled(f, draw(6, 5))
    assert compilation.lowering.host_calls
    assert not calls(compilation)
    reference = registry.get("numpy").compile(program)(values)
    for found, expected in zip(compilation.finish()(values), reference, strict=True):
        same(found._data, expected._data)


def test_the_first_loop_is_compiled_while_the_second_is_lowered() -> None:
    """It is a part of the module."""

    def step(c: Any, row: Any) -> Any:
        for k in range(40):
            c = jnp.sin(c * row + k)
        return c, c

    compilation, _, _ = _compiled(twice(step, lambda x: x[0]), draw(5, 4))
    first, *rest = compilation.text.split("; the next part")
    assert "define i32 @loop" in first
    assert rest


ENDLESS = """
import os, signal, threading, time
import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.engines.llvm import separate

separate.LONG_BODY, separate.WORTH_CALLING = 1, 0.0

def f(x):
    step = lambda c, row: (jnp.sin(c + row), c)
    c, seen = lax.scan(lambda c, _: (jnp.sin(c), None), x, length=1 << 40)
    return lax.scan(step, c, jnp.ones(3))

run = pb.jit(f).lower(1.0).compile()
assert run.as_text("llvm").count("call i32 @loop") == 2
started = []
def stop():
    time.sleep(0.3)
    started.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop).start()
try:
    run(1.0)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started[0] < 5)
"""


def test_endless_loops_are_interrupted() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "interrupted True\n", ended.stderr
