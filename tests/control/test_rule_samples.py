"""The sample matrix of the primitives that carry users' rules, of checkpoint and of callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.ad_checkpoint import checkpoint_name
from pullback.custom_batching import custom_vmap
from pullback.custom_derivatives import linear_call
from pullback.experimental import io_callback

from ..matrix import Sample, matrix_cells, run_cell

X = np.array([0.3, -0.7, 1.1])
Y = np.array([0.9, 0.4, -1.3])
Z = X + 1j * Y


def _sine_jvp() -> Any:
    f = pb.custom_jvp(lambda x, y: pnp.sin(x) * y)
    f.defjvp(lambda p, t: (f(*p), t[0] * pnp.cos(p[0]) * p[1] + pnp.sin(p[0]) * t[1]))
    return f


def _sine_vjp() -> Any:
    f = pb.custom_vjp(lambda x, y: pnp.sin(x) * y)
    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, g: (g * pnp.cos(r[0]) * r[1], pnp.sin(r[0]) * g))
    return f


def _with_rule_on_tangents(double: Any) -> Any:
    """x -> x², whose rule applies `double` (a function with a rule, linear) to tangents."""
    f = pb.custom_jvp(lambda x: x * x)
    f.defjvp(lambda p, t: (f(*p), p[0] * double(t[0])))
    return f


def _double_jvp() -> Any:
    f = pb.custom_jvp(lambda x: 2 * x)
    f.defjvp(lambda p, t: (f(*p), 2 * t[0]))
    return f


def _double_vjp() -> Any:
    f = pb.custom_vjp(lambda x: 2 * x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (2 * g,))
    return f


def _double_vmap() -> Any:
    f = custom_vmap(lambda x: 2 * x)
    f.def_vmap(lambda size, batched, x: (2 * x, batched[0]))
    return f


def _callback(x: Any, y: Any) -> Any:
    return pb.pure_callback(lambda x, y: np.asarray(x) * np.asarray(y), x, x, y, vmap_method="broadcast_all")


def _io(x: Any) -> Any:
    return io_callback(lambda x: 2 * np.asarray(x), x, x)


def _debug(x: Any) -> Any:
    pb.debug.callback(lambda x: None, x)
    return pnp.sin(x)


def _two(name: str, f: Any, x: Any, y: Any, primitive: str) -> Sample:
    return Sample(
        name, f, (x, y), lambda x, y: np.sin(x) * y, (0, 1), batchable=(0, 1), primitives=(primitive,)
    )


def _square(name: str, double: Any, primitive: str) -> Sample:
    return Sample(
        name, _with_rule_on_tangents(double), (X,), np.square, (0,), primitives=("custom_jvp_call", primitive)
    )


SAMPLES = [
    _two("custom_jvp-f64", _sine_jvp(), X, Y, "custom_jvp_call"),
    _two("custom_jvp-c128", _sine_jvp(), Z, Z[::-1].copy(), "custom_jvp_call"),
    _two("custom_vjp-f64", _sine_vjp(), X, Y, "custom_vjp_call"),
    _two("custom_vjp-c128", _sine_vjp(), Z, Z[::-1].copy(), "custom_vjp_call"),
    Sample(
        "custom_vjp-linear",
        lambda x, y: pb.linearize(_sine_vjp(), x, y)[1](x, y),
        (X, Y),
        lambda x, y: np.cos(x) * y * x + np.sin(x) * y,
        (0, 1),
        batchable=(0, 1),
        primitives=("custom_vjp_call", "custom_vjp_linear"),
    ),
    _square("custom_jvp-of-tangents", _double_jvp(), "custom_jvp_call"),
    _square("custom_vjp-of-tangents", _double_vjp(), "custom_vjp_call"),
    _square("custom_vmap-of-tangents", _double_vmap(), "custom_vmap_call"),
    Sample(
        "custom_vmap-f64",
        lambda x: _double_vmap()(pnp.sin(x)),
        (X,),
        lambda x: 2 * np.sin(x),
        (0,),
        primitives=("custom_vmap_call",),
    ),
    Sample(
        "linear_call-f64",
        lambda x: linear_call(lambda r, v: r * v, lambda r, ct: r * ct, Y, pnp.sin(x)),
        (X,),
        lambda x: Y * np.sin(x),
        (0,),
        primitives=("linear_call",),
    ),
    _two("checkpoint-f64", pb.checkpoint(lambda x, y: pnp.sin(x) * y), X, Y, "checkpoint"),
    _two("checkpoint-c128", pb.checkpoint(lambda x, y: pnp.sin(x) * y), Z, Z[::-1].copy(), "checkpoint"),
    _two(
        "checkpoint-dots",
        pb.checkpoint(
            lambda x, y: checkpoint_name(pnp.sin(x), "s") * y,
            policy=pb.checkpoint_policies.save_only_these_names("s"),
        ),
        X,
        Y,
        "name",
    ),
    Sample(
        "pure_callback",
        _callback,
        (X, Y),
        lambda x, y: x * y,
        batchable=(0, 1),
        primitives=("pure_callback",),
    ),
    Sample("io_callback", _io, (X,), lambda x: 2 * x, primitives=("io_callback",)),
    Sample("debug_callback", _debug, (X,), np.sin, (0,), primitives=("debug_callback",)),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)
