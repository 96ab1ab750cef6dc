"""Equations that compute the same are computed once, unless that is not wanted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.engines.llvm.engine import simplified
from pullback._src.engines.llvm.fingerprint import fingerprint

X = np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)


def names(function: Any, *args: Any) -> Counter[str]:
    """How often the primitives appear in what is lowered."""
    program = simplified(pb.jit(function).stage(args, {}).open_program)
    return Counter(e.primitive.name for e in program.eqns)


def test_equal_equations() -> None:
    def moments(x: Any) -> Any:
        return pnp.mean(x, axis=0), pnp.var(x, axis=0)

    assert names(moments, X)["reduce_sum"] == 2  # of the numbers and of their squares
    mean, variance = pb.jit(moments)(X)
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, X.var(0), rtol=1e-6)


def test_chains() -> None:
    found = names(lambda x: pnp.sin(pnp.exp(x) * 2) + pnp.cos(pnp.exp(x) * 2), X)
    assert found["exp"] == found["mul"] == found["sin"] == found["cos"] == 1


def test_moves() -> None:
    """What moves elements is repeated where it is used, but what is computed from it is not."""
    found = names(lambda x: pnp.sin(x[1:].T) + pnp.sin(x[1:].T) + x[1:].T, X)
    assert found["sin"] == 1
    assert found["slice"] == found["transpose"] == 2


def test_calls() -> None:
    """A function that is called twice, and what it has in common with its surroundings."""
    inner = pb.jit(lambda x: pnp.tanh(x) + 1)
    assert names(lambda x: inner(x) * inner(x) + pnp.tanh(x), X)["tanh"] == 1
    twice = names(lambda x: pb.nn.softplus(x) * pb.nn.softplus(x), X)
    assert twice - names(pb.nn.softplus, X) == {"mul": 1}


def test_bodies() -> None:
    def body(carry: Any, _: Any) -> Any:
        return pnp.sin(carry) * pnp.sin(carry), None

    program = simplified(pb.jit(lambda x: lax.scan(body, x, None, 3)[0]).stage((X,), {}).open_program)
    (scan,) = [e for e in program.eqns if e.primitive.name == "scan"]
    assert [e.primitive.name for e in scan.params["program"].eqns].count("sin") == 1


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_signs(value: float) -> None:
    """Numbers with different signs are different, also zeros, and NaN is itself."""

    def divided(x: Any) -> Any:
        return x / pnp.float32(value), x / -pnp.float32(value), x / pnp.float32(value)

    assert names(divided, X)["div"] == 2
    for got, expected in zip(pb.jit(divided)(X), divided(X), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_types() -> None:
    """Equal numbers of different types are different."""
    found = names(lambda x: (lax.convert_element_type(x, "float16"), lax.convert_element_type(x, "int32")), X)
    assert found["convert_element_type"] == 2


def test_effects() -> None:
    """What is said twice is said twice."""
    heard: list[float] = []

    def said(x: Any) -> Any:
        for _ in range(2):
            pb.debug.callback(lambda v: heard.append(float(v)), x)
        return x

    pb.jit(said)(1.0).block_until_ready()
    assert heard == [1.0, 1.0]


def _deep(x: Any) -> Any:
    for _ in range(3):
        x = pnp.sin(pnp.exp(x))
    return x


@pytest.mark.parametrize("prevent", [True, False])
def test_checkpoint(prevent: bool) -> None:
    """What `checkpoint` computes again is not taken from what was computed before, unless that is allowed."""

    def loss(x: Any) -> Any:
        return pnp.sum(pb.checkpoint(_deep, prevent_cse=prevent)(x))

    found = names(pb.value_and_grad(loss), X)
    assert found["exp"] == (6 if prevent else 3)
    value, gradient = pb.jit(pb.value_and_grad(loss))(X)
    expected = pb.value_and_grad(lambda x: pnp.sum(_deep(x)))(X)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5)


def test_chain_with_slots() -> None:
    """A chain with few kept states runs its functions as often as its plan says."""
    functions = [lambda x, k=k: pnp.sin(x + k) for k in range(6)]
    chain = pb.checkpoint(functions, slots=2)
    found = names(pb.grad(lambda x: pnp.sum(chain(x))), X)
    assert found["sin"] == chain.plan(X).extra_steps == 8
    assert found["cos"] == 6


def test_fingerprint() -> None:
    """Programs that differ in what may be shared are kept apart on disk."""

    def program(prevent: bool) -> Any:
        def loss(x: Any) -> Any:
            return pnp.sum(pb.checkpoint(_deep, prevent_cse=prevent)(x))

        return pb.jit(pb.grad(loss)).stage((X,), {}).open_program

    assert fingerprint(program(True)) != fingerprint(program(False))
    assert fingerprint(program(True)) == fingerprint(program(True))
