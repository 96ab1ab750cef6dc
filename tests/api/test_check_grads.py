"""`check_grads` accepts right derivatives and finds wrong ones, in each mode and order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core import rules
from pullback._src.core.primitive import Primitive
from pullback._src.ops.families import elementwise
from pullback._src.ops.transcendental import cos_p, sin_p
from pullback.test_util import check_grads, check_jvp, check_vjp

X = np.array([0.3, 0.7], np.float32)


def _tangent(scale: float) -> Any:
    from pullback._src.core.array import scalar
    from pullback._src.ops.arithmetic import mul_p

    return lambda t, ans, x: mul_p.bind(t, mul_p.bind(cos_p.bind(x), scalar(scale, x.aval.dtype)))


good_p = elementwise("test_check_grads_sin", _tangent(1.0))
wrong_p = elementwise("test_check_grads_wrong", _tangent(1.1))


@pytest.fixture(autouse=True)
def evaluation() -> Iterator[None]:
    for p in (good_p, wrong_p):
        rules.decompose[p] = sin_p.bind
    return


def apply(primitive: Primitive) -> Any:
    return lambda x: pnp.sum(primitive.bind(x) * x)


@pytest.mark.parametrize("modes", ["fwd", "rev", ("fwd",), ["fwd", "rev"]])
def test_right_derivatives_pass(modes: Any) -> None:
    check_grads(apply(good_p), (X,), order=2, modes=modes)
    with pb.enable_x64(True):
        check_grads(apply(good_p), (X.astype(np.float64),), order=3, modes=modes)


@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")])
@pytest.mark.parametrize("x64", [False, True])
def test_wrong_rules_are_found(modes: Any, x64: bool) -> None:
    with (
        pb.enable_x64(x64),
        pytest.raises(AssertionError, match=r"(jvp|vjp) order 1.*finite differences give"),
    ):
        check_grads(apply(wrong_p), (X.astype(np.float64 if x64 else np.float32),), order=1, modes=modes)


@pytest.mark.parametrize("modes", [("fwd",), ("rev",)])
def test_rules_that_are_wrong_at_second_order_only_are_found(modes: Any) -> None:
    f = lambda x: pnp.sum(
        pb.stop_gradient(pnp.cos(x)) * (x - pb.stop_gradient(x)) + pb.stop_gradient(pnp.sin(x))
    )
    with pb.enable_x64(True):
        x = X.astype(np.float64)
        check_grads(f, (x,), order=1, modes=modes)
        with pytest.raises(AssertionError, match=r"of jvp order 1|of vjp order 1"):
            check_grads(f, (x,), order=2, modes=modes)


def test_a_custom_rule_that_is_wrong_is_found() -> None:
    f = pb.custom_vjp(pnp.sin)
    f.defvjp(lambda x: (pnp.sin(x), x), lambda x, ct: (ct * pnp.sin(x),))
    with pytest.raises(AssertionError, match="vjp order 1"):
        check_grads(lambda x: pnp.sum(f(x)), (X,), order=1, modes=("rev",))
    f.defvjp(lambda x: (pnp.sin(x), x), lambda x, ct: (ct * pnp.cos(x),))
    check_grads(lambda x: pnp.sum(f(x)), (X,), order=2, modes=("rev",))


def test_pytrees_complex_and_integers() -> None:
    with pb.enable_x64(True):
        z = np.array([1 + 2j, 0.5 - 0.3j])
        check_grads(
            lambda d, n: {"a": pnp.sin(d["z"]) * n, "b": d["x"] ** 2}, ({"z": z, "x": 2.0}, 3), order=2
        )
        check_grads(lambda z: pnp.abs(z) ** 2, (z,), order=2)


def test_tolerances() -> None:
    slightly = lambda x: pnp.sum(pnp.sin(x) + pb.stop_gradient(0.01 * x))
    with pb.enable_x64(True):
        x = X.astype(np.float64)
        with pytest.raises(AssertionError):
            check_grads(slightly, (x,), order=1)
        check_grads(slightly, (x,), order=1, atol=0.1, rtol=0.1)


def test_functions_that_are_not_smooth_are_found() -> None:
    with pytest.raises(AssertionError, match="not smooth"):
        check_grads(
            lambda x: pnp.sum(pnp.floor(x * 3.0) * 1.0), (np.array([1.0, 1 / 3], np.float32),), order=1
        )


def test_single_checks() -> None:
    f = pnp.sin
    check_jvp(f, lambda p, t: pb.jvp(f, p, t), (X,))
    check_vjp(f, lambda x: pb.vjp(f, x), (X,))
    with pytest.raises(AssertionError, match="jvp's tangent"):
        check_jvp(f, lambda p, t: (pnp.sin(p[0]), (t[0] * 2.0)), (X,))
    with pytest.raises(AssertionError, match="my test jvp's value"):
        check_jvp(f, lambda p, t: (pnp.cos(p[0]), t[0]), (X,), err_msg="my test")
    with pytest.raises(AssertionError, match="vjp's product"):
        check_vjp(f, lambda x: (pnp.sin(x), lambda ct: (ct * 2.0,)), (X,))


def test_unknown_modes() -> None:
    with pytest.raises(ValueError, match=r"modes must be 'fwd' and 'rev', got \['sideways'\]"):
        check_grads(pnp.sin, (X,), order=1, modes=("sideways",))
