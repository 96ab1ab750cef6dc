"""One function of `lax` for both libraries, and what is compared between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import pullback.lax as lax
from pullback._src.base.config import disable_jit, enable_x64
from pullback._src.core.array import as_array
from pullback._src.core.call import jit_p
from pullback._src.core.staging import stage

from .. import oracle
from ..flat import Flat, flat, is_inexact, jit_of, jvp_of, vjp_of, vmap_of

Function = Callable[..., Any]

PATHS = (
    "jit",
    "jvp",
    "grad",
    "vmap",
    "jit.jvp",
    "jit.grad",
    "jit.vmap",
    "grad.jit",
    "vmap.jit",
    "jvp.vmap",
    "vmap.jvp",
    "vmap.vmap",
    "vmap.grad",
    "grad.vmap",
    "jvp.jvp",
    "grad.jvp",
    "jvp.grad",
    "grad.grad",
    "grad.grad.vmap",
    "vmap.grad.grad",
    "jit.grad.vmap.jit",
    "jit.grad.grad.jit",
)
FORWARD_PATHS = tuple(p for p in PATHS if "grad" not in p)


def ours(function: Function) -> Flat:
    """`function(lax, *args)` on Pullback, with its results as a flat list."""
    return flat(lambda *args: jax.tree.leaves(function(lax, *args)))


def theirs(function: Function) -> Callable[..., list[Any]]:
    """The same on JAX, which hands values that a loop does not change back as they came, not as arrays."""
    return lambda *args: [jax.numpy.asarray(leaf) for leaf in jax.tree.leaves(function(jax.lax, *args))]


def check(function: Function, *args: Any, units: float = 16.0) -> None:
    """Values, types and weak types agree with JAX's: un-jitted, and staged by us."""
    reference = _once(jax.jit(theirs(function)))
    oracle.check(ours(function), reference, *args, units=units)
    staged = jit_of(ours(function))
    oracle.check(lambda *xs: staged(*map(as_array, xs)), reference, *args, units=units)


def check_grad(function: Function, *args: Any, argnums: Sequence[int] = (0,)) -> None:
    """The pullbacks agree with JAX's."""
    reference = jax.jit(theirs(function))
    oracle.check_grad(ours(function), reference, *args, argnums=argnums, x64=True, units=256)


def _once(function: Function) -> Function:
    """`function`, which is called again with the same arguments, run only once."""
    found: list[Any] = []

    def run(*args: Any) -> Any:
        if not found:
            found.append(function(*args))
        return found[0]

    return run


def _transformed(f: Flat, path: str, count: int, argnums: Sequence[int]) -> Flat:
    for step in path.split("."):
        if step == "jit":
            f = _jit(f)
        elif step == "jvp":
            f = _jvp_at_ones(f, argnums)
        elif step == "grad":
            f = _grad_of_sum(f, argnums, count)
        else:
            assert step == "vmap"
            f = vmap_of(f, [0] * count, 3)
    return f


def _jit(f: Flat) -> Flat:
    def run(*args: Any) -> list[Any]:
        program = stage(f, [a.aval for a in args])
        opened = program.with_consts_as_inputs()
        return list(jit_p.bind(*program.consts, *args, program=opened, name="f", inline=False))

    return run


def _jvp_at_ones(f: Flat, argnums: Sequence[int]) -> Flat:
    return lambda *args: jvp_of(f, argnums)(*args, *[_ones(args[i]) for i in argnums])


def _grad_of_sum(f: Flat, argnums: Sequence[int], count: int) -> Flat:
    """The gradient of a weighted sum of all results (plain sums of linear results would hide much)."""

    def run(*args: Any) -> list[Any]:
        outs = [o for o in f(*args) if is_inexact(o)]
        return vjp_of(f, argnums, count)(
            *args, *[lax.mul(_ones(o), o.dtype.type(1 + k)) for k, o in enumerate(outs)]
        )

    return run


def _ones(x: Any) -> Any:
    return lax.full(x.shape, 1, x.dtype)


def check_path(
    function: Function, path: str, *args: Any, argnums: Sequence[int] = (0,), rtol: float = 1e-9
) -> None:
    """`function` under the transformations in `path` ("grad.vmap.jit": gradient, mapped, staged), 64 bits.

    The reference is the same function with the loop run and the branch chosen by Python (`disable_jit`), of
    which the transformations see plain operations.
    """
    with enable_x64(True):
        values = [np.asarray(a) for a in args]
        for _ in range(path.split(".").count("vmap")):
            values = [np.stack([v, _other(v), v]) for v in values]
        arrays = [as_array(v) for v in values]
        run = _transformed(ours(function), path, len(args), argnums)
        found = run(*arrays)
        with disable_jit(True):
            expected = run(*arrays)
        assert len(found) == len(expected)
        for a, e in zip(found, expected, strict=True):
            assert (a.shape, a.dtype) == (e.shape, e.dtype)
            scale = np.max(np.abs(np.asarray(e)), initial=0.0)
            np.testing.assert_allclose(
                np.asarray(a), np.asarray(e), rtol=rtol, atol=rtol * scale, err_msg=path
            )


def _other(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Another value of the same type, in the same domain."""
    if value.dtype.kind == "b":
        return ~value
    if value.dtype.kind in "iu":
        return value + np.asarray(1, value.dtype)
    return value * 0.75
