"""Rules applied ahead of time: the second and third use of an operation give what the first gave."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback._src.core.aval import ShapedArray
from pullback._src.core.call import jit_p
from pullback._src.core.program import Program
from pullback._src.core.specialize import SecondUse, carries_python, is_plain, operands, operation
from pullback._src.core.verify import verify
from pullback._src.ops.arithmetic import add_p
from pullback._src.ops.transcendental import sin_p

_F = ShapedArray((3,), np.float32)
_G = ShapedArray((), np.float32)


def test_built_on_the_second_use() -> None:
    built: list[Any] = []
    table: SecondUse[list[Any]] = SecondUse(lambda *arguments: built.append(arguments) or [*arguments])
    key = (sin_p, _F, None, _G, ("y", 2))
    assert table.get(key, {"y": 2}) is None and built == []
    first = table.get(key, {"y": 2})
    assert first == [key, {"y": 2}]
    assert operands(key) == ((True, False), (_F, _G))
    assert table.get(key, {"y": 2}) is first and len(built) == 1
    assert table.get((sin_p, _G), {}) is None


def test_what_is_not_plain_is_never_built() -> None:
    table: SecondUse[str] = SecondUse(lambda *_: "built")
    assert [table.get((jit_p, _F), {}) for _ in range(3)] == [None, None, None]
    assert not is_plain(jit_p) and is_plain(sin_p)


def test_keys_that_cannot_be_hashed_are_passed_over() -> None:
    table: SecondUse[str] = SecondUse(lambda *_: "built")
    assert [table.get((sin_p, []), {}) for _ in range(3)] == [None, None, None]


def test_memory_is_bounded() -> None:
    table: SecondUse[str] = SecondUse(lambda *_: "built")
    for i in range(10_000):
        table.get((sin_p, _F, i), {})
    assert len(table._entries) <= 4096


def test_operation_is_a_program_of_one_equation() -> None:
    a, b = ShapedArray((3,), np.float32), ShapedArray((), np.float32)
    program = verify(operation(add_p, (a, b), {}))
    assert [e.primitive for e in program.eqns] == [add_p]
    assert program.in_avals == [a, b] and program.out_avals == [a]


def test_programs_with_python_functions_are_told_apart() -> None:
    plain = pb.make_jaxpr(lambda x: lax.scan(lambda c, r: (c + r, c), 0.0, x)[0])(np.ones(3))
    assert not carries_python(plain)
    assert not carries_python(pb.make_jaxpr(pb.jit(pnp.sin))(1.0))
    assert not carries_python(Program([], [], []))


ARGS = {
    "f32[3]": np.linspace(0.1, 0.9, 3, dtype=np.float32),
    "f32[]": np.float32(0.3),
    "number": 0.3,
    "f16[3]": np.linspace(0.1, 0.9, 3).astype(np.float16),
    "f32[2,2]": np.linspace(0.1, 0.9, 4, dtype=np.float32).reshape(2, 2),
    "f32[0]": np.zeros(0, np.float32),
    "c64[3]": (np.linspace(0.1, 0.9, 3) * (1 + 2j)).astype(np.complex64),
    "f64[3]": np.linspace(0.1, 0.9, 3),
}

FUNCTIONS: dict[str, Any] = {
    "sin": pnp.sin,
    "mul": lambda x: x * x,
    "numbers": lambda x: 2.0 * x + 1.0 - x / 3.0,
    "where": lambda x: pnp.where(pnp.abs(x) > 0.3, x, pnp.zeros_like(x)),
    "sum": lambda x: pnp.sum(x) * x,
    "power": lambda x: x**3,
    "mixed": lambda x: x * pnp.asarray(2.0) + pnp.asarray(np.float32(1.0)),
    "chain": lambda x: pnp.exp(pnp.sin(x) * pnp.cos(x)),
    "constant": pnp.ones_like,
    "partly constant": lambda x: (x, pnp.ones(2))[0] * pb.stop_gradient(x),
    "max": lambda x: pnp.tanh(x) + pnp.sum(pnp.abs(x)),
}


def both(f: Any, x: Any) -> Any:
    out, pushforward = pb.linearize(f, x)
    value, pull = pb.vjp(f, x)
    primal, tangent = pb.jvp(f, (x,), (x,))
    return out, pushforward(x), value, pull(value)[0], primal, tangent


def same(key: str, found: Any, first: Any) -> None:
    for i, (u, v) in enumerate(zip(found, first, strict=True)):
        assert u.aval is v.aval, f"{key}, result {i}: {u.aval}, at first {v.aval}"
        np.testing.assert_allclose(np.asarray(u), np.asarray(v), rtol=2e-3 if u.dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_repetition_changes_nothing(name: str) -> None:
    """Types change between the calls, so that first, second and third uses interleave."""
    f = FUNCTIONS[name]
    first = {}
    for key, x in itertools.chain(*[ARGS.items()] * 4):
        with enable_x64(key.startswith("f64")):
            x = pnp.asarray(x)
            found = both(f, x)
            if key not in first:
                first[key] = found
                staged = pb.jit(lambda x: both(f, x))(x)  # rules under staging are never ahead of time
                for u, v in zip(found, staged, strict=True):
                    assert (u.shape, u.dtype) == (v.shape, v.dtype)
                    tolerance = 2e-3 if u.dtype == np.float16 else 1e-5
                    np.testing.assert_allclose(np.asarray(u), np.asarray(v), rtol=tolerance, atol=1e-6)
            else:
                same(key, found, first[key])


def test_repetition_under_other_transformations() -> None:
    f = lambda x: pnp.sum(pnp.sin(x) * x**2)
    x = pnp.arange(6.0) / 6
    rows = pnp.stack([x, x + 1, x * 2])
    nests = [
        pb.grad(f),
        pb.vmap(pb.grad(f)),
        pb.grad(lambda q: pnp.sum(pb.vmap(f)(q))),
        pb.vmap(lambda r: pb.jvp(pb.grad(f), (r,), (r,))[1]),
        pb.jacfwd(pb.grad(f)),
        pb.vmap(pb.grad(lambda r: pnp.sum(pb.grad(f)(r)))),
    ]
    for nest in nests:
        arg = x if nest in (nests[0], nests[4]) else rows
        results = [np.asarray(nest(arg)) for _ in range(4)] + [np.asarray(pb.jit(nest)(arg))]
        for r in results[1:]:
            np.testing.assert_allclose(r, results[0], rtol=1e-5, atol=1e-6)


def test_errors_come_also_at_the_second_use() -> None:
    for _ in range(4):
        with pytest.raises(TypeError, match=r"shapes \(3,\) and \(2,\)"):
            pb.grad(lambda x: pnp.sum(pnp.ones(3) * x))(pnp.ones(2))
        assert pb.grad(lambda x: pnp.sum(pnp.ones(2) * x))(pnp.ones(2)).tolist() == [1, 1]


def test_masks_of_zero_tangents_are_told_apart() -> None:
    x, y = pnp.asarray(2.0), pnp.asarray(3.0)
    f = lambda a, b: a * b * a
    for _ in range(3):
        assert float(pb.grad(f, 0)(x, y)) == 12.0
        assert float(pb.grad(f, 1)(x, y)) == 4.0
        assert [float(g) for g in pb.grad(f, (0, 1))(x, y)] == [12.0, 4.0]
        assert float(pb.grad(lambda a: f(a, a))(x)) == 12.0
