"""Steps of un-jitted code that pass through several transformations at once (`Trace.run`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.core.trace import CURRENT, EVAL

X = pnp.asarray(np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3))
V = pnp.cos(3 * X)


def _value(x: Any) -> Any:
    return pnp.sum(pnp.tanh(x) ** 2 / (2 + pnp.sin(x))) + pnp.max(x * x)


def _hvp_forward_over_reverse(x: Any, v: Any) -> Any:
    return pb.jvp(pb.grad(_value), (x,), (v,))[1]


def _hvp_reverse_over_forward(x: Any, v: Any) -> Any:
    return pb.grad(lambda y: pb.jvp(_value, (y,), (v,))[1])(x)


def _hvp_reverse_over_reverse(x: Any, v: Any) -> Any:
    return pb.grad(lambda y: pnp.vdot(pb.grad(_value)(y), v))(x)


HVPS = [_hvp_forward_over_reverse, _hvp_reverse_over_forward, _hvp_reverse_over_reverse]


@pytest.mark.parametrize("hvp", HVPS)
def test_repetition_changes_nothing(hvp: Callable[..., Any]) -> None:
    """The first call applies rules, the later ones run steps; `jit` records the rules."""
    expected = pb.jit(hvp)(X, V)
    for _ in range(4):
        np.testing.assert_allclose(hvp(X, V), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("hvp", HVPS)
def test_mapped_derivatives_are_those_of_the_rows(hvp: Callable[..., Any]) -> None:
    rows = np.stack([np.asarray(hvp(x, v)) for x, v in zip(X, V, strict=True)])
    for _ in range(4):
        np.testing.assert_allclose(pb.vmap(hvp)(X, V), rows, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(
            pb.vmap(hvp, in_axes=1, out_axes=1)(X.T, V.T), rows.T, rtol=2e-5, atol=1e-6
        )


def test_results_that_are_not_mapped_stay_so() -> None:
    for _ in range(4):
        out = pb.vmap(lambda x, y: (x * 2, pnp.sin(y) * 2), in_axes=(0, None), out_axes=(0, None))(X, 1.5)
        np.testing.assert_allclose(out[1], np.sin(1.5) * 2, rtol=1e-6)


def test_axes_of_other_sizes_do_not_share_steps() -> None:
    double = pb.vmap(lambda x: pnp.dot(x, pnp.ones(3)) + pnp.sum(pnp.broadcast_to(x[0], (2,))))
    for size in (4, 2, 4, 2, 3, 4):
        x = X[:size]
        np.testing.assert_allclose(double(x), np.asarray(x).sum(1) + 2 * np.asarray(x)[:, 0], atol=1e-5)


def test_collectives_within_a_step_see_the_axis() -> None:
    centre = pb.vmap(lambda x: pb.jvp(lambda y: y - lax.pmean(y, "rows"), (x,), (x,))[1], axis_name="rows")
    for _ in range(4):
        np.testing.assert_allclose(centre(X), np.asarray(X) - np.asarray(X).mean(0), atol=1e-6)


def test_an_inner_value_is_not_the_outer_one() -> None:
    """Nested derivatives of one function at the same types: each trace takes out only its own tangents."""
    for _ in range(4):
        found = pb.grad(lambda x: x * pb.grad(lambda y: x * y)(2.0))(3.0)
        assert float(found) == 6.0


def test_errors_leave_the_current_trace_as_it_was() -> None:
    for _ in range(3):
        with pytest.raises(TypeError):
            pb.vmap(lambda x: pb.jvp(lambda y: pnp.dot(y, pnp.ones(5)), (x,), (x,)))(X)
        assert CURRENT.get() is EVAL


def test_a_leaked_tracer_is_named_also_by_a_step() -> None:
    leaked: list[Any] = []
    for _ in range(3):
        pb.jvp(lambda x: pnp.sin(x) * x, (X,), (V,))
    pb.vmap(lambda x: leaked.append(x) or x)(X)
    for _ in range(3):
        with pytest.raises(pb.errors.UnexpectedTracerError, match="leaked"):
            pb.jvp(lambda x: x * leaked[0], (X[0],), (V[0],))
