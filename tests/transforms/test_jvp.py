"""Forward mode on flat functions and programs: zeros, tangents, missing rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError
from pullback._src.core import rules
from pullback._src.core.array import ConcreteArray, as_array
from pullback._src.core.aval import ShapedArray, Zero
from pullback._src.core.primitive import Primitive
from pullback._src.core.verify import verify
from pullback._src.transforms.jvp import jvp, jvp_program

from ..flat import run_program

X = as_array(np.array([0.1, 0.2, 0.3], np.float32))
F3 = ShapedArray((3,), np.float32)


def test_values_and_tangents() -> None:
    (y, z), (dy, dz) = jvp(lambda x: [pnp.sin(x), pnp.sum(x**2)], [X], [X])
    np.testing.assert_allclose(np.asarray(dy), np.cos(X._data) * X._data, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(dz), 2 * np.sum(X._data**2), rtol=1e-6)
    assert type(y) is type(z) is ConcreteArray


def test_zeros_stay_symbolic() -> None:
    outs, tangents = jvp(
        lambda x, n: [pnp.sin(x), x > 0, n * 2, pnp.ones(2), x],
        [X, as_array(3)],
        [X, Zero(as_array(3).aval.tangent)],
    )
    assert [type(t) is Zero for t in tangents] == [False, True, True, True, False]
    assert [t.aval for t in tangents[1:4]] == [o.aval.tangent for o in outs[1:4]]
    assert tangents[4] is X
    _, (t,) = jvp(lambda x: [pnp.sin(x)], [X], [Zero(F3)])
    assert type(t) is Zero


def test_nothing_is_computed_for_zero_tangents() -> None:
    seen: list[list[bool]] = []
    probe_p = Primitive("test_jvp_probe")
    rules.abstract[probe_p] = lambda x, y: x
    rules.evaluate[probe_p] = lambda x, y: x

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append([type(t) is Zero for t in tangents])
        return primals[0], tangents[0]

    rules.jvp[probe_p] = rule
    jvp(lambda x: [probe_p.bind(x, X)], [X], [X])
    jvp(lambda x: [probe_p.bind(X, X)], [X], [X])
    assert seen == [[False, True]]


def test_operations_without_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    rough_p = Primitive("test_jvp_rough")
    rules.abstract[rough_p] = lambda x: x
    rules.evaluate[rough_p] = lambda x: x
    monkeypatch.setitem(rules.not_differentiable, rough_p, "it jumps")
    for how in (
        lambda: jvp(lambda x: [rough_p.bind(x)], [X], [X]),
        lambda: pb.grad(lambda x: rough_p.bind(x)[0])(X),
    ):
        with pytest.raises(
            NotDifferentiableError, match=r"'test_jvp_rough' cannot be differentiated: it jumps"
        ) as e:
            how()
        assert "stop_gradient" in str(e.value) and "custom_jvp" in str(e.value) and __file__ in str(e.value)
    np.testing.assert_array_equal(np.asarray(pb.jit(rough_p.bind)(X)), np.asarray(X))


def test_programs() -> None:
    program = pb.make_jaxpr(lambda x, y: (pnp.sin(x) * y, y, x > 0))(X, X)
    for mask in ((True, True), (True, False), (False, True), (False, False)):
        pushed, out_nonzero = jvp_program(program, mask)
        assert jvp_program(program, mask)[0] is pushed
        verify(pushed)
        assert out_nonzero == (any(mask), mask[1], False)
        given = [X] * sum(mask)
        outs = run_program(pushed, [X, X, *given])
        assert len(outs) == 3 + sum(out_nonzero)
        if any(mask):
            s, c, x = np.sin(X._data), np.cos(X._data), X._data
            expected = (c * x * x if mask[0] else 0) + (s * x if mask[1] else 0)
            np.testing.assert_allclose(np.asarray(outs[3]), expected, rtol=1e-6)


def test_tangents_of_closed_over_values_are_not_touched() -> None:
    def f(x: Any) -> Any:
        (_,), (inner,) = jvp(lambda y: [y * x], [X], [X])
        return inner

    _, (t,) = jvp(lambda x: [f(x)], [X], [as_array(np.ones(3, np.float32))])
    np.testing.assert_allclose(np.asarray(t), np.asarray(X))


def test_control_flow_keeps_zeros() -> None:
    _, (carry, ys) = jvp(
        lambda x: list(lax.scan(lambda c, r: (c + 1.0, r * 2.0), pnp.asarray(np.float32(0)), x)), [X], [X]
    )
    assert type(carry) is Zero
    np.testing.assert_allclose(np.asarray(ys), 2 * X._data)
