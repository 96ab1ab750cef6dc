"""Forward mode from reverse mode alone, and reverse mode from forward mode alone.

Transposing the pullback, which is linear in the cotangent, gives the pushforward, and the other way round.
The functions here are functions with one rule (`custom_rule`), differentiated in the other mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..api.vjp import jvp as forward_mode
from ..api.vjp import vjp as reverse_mode
from ..base import pytree
from ..control.common import name_of
from ..control.custom_rule import custom_rule
from ..control.custom_tangents import zero_from_primal

Function = Callable[..., Any]


def jvp_from_vjp(fun: Function | None = None, *, vjp: Function | None = None) -> Function:
    """Forward mode that uses reverse mode only.

    Args:
        fun: a function of pytrees of arrays, differentiated with `pullback.vjp`.
        vjp: instead of `fun`, any reverse mode: `vjp(*primals)` returns a pair (output, pullback), as
            `pullback.vjp` does for a function. The pullback must be traceable and linear.

    Returns:
        A function `(primals, tangents) -> (output, output tangent)`, as `pullback.jvp` of `fun`. It costs one
        run of the reverse mode and one of the transpose of its pullback; values and pullback are computed
        once, and no pass per entry is needed.

    Raises:
        TypeError: neither or both of the arguments were given; the pullback returns another structure, shape
            or dtype, or is not linear (then a `NotDifferentiableError`).

    The transpose of the pullback is found by tracing it on a symbolic cotangent (the double transpose:
    J = (J^T)^T).
    """
    rule = _chosen("jvp_from_vjp", fun, "vjp", vjp)
    value = fun if rule is None else lambda *args: rule(*args)[0]
    backward = rule if rule is not None else lambda *args: reverse_mode(_given(fun), *args)
    made = custom_rule(_named(value, fun or vjp), vjp=_named(backward, fun or vjp))

    def jvp(primals: Any, tangents: Any) -> Any:
        return forward_mode(made, primals, tangents)

    return jvp


def vjp_from_jvp(fun: Function | None = None, *, jvp: Function | None = None) -> Function:
    """Reverse mode that uses forward mode only.

    Args:
        fun: a function of pytrees of arrays, differentiated with `pullback.jvp`.
        jvp: instead of `fun`, any forward mode: `jvp(primals, tangents)` returns a pair (output, output
            tangent), as `pullback.jvp` does for a function. It must be traceable and linear in the tangents.

    Returns:
        A function `(*primals) -> (output, pullback)`, as `pullback.vjp` of `fun`. It runs the forward mode
        once, on a symbolic tangent; the pullback is the transpose of what was done with that, so a gradient
        costs a small multiple of one evaluation, however many entries the arguments have.

    Raises:
        TypeError: neither or both of the arguments were given; `jvp` returns a tangent of another structure,
            shape or dtype than its output, or is not linear (then a `NotDifferentiableError`).
    """
    rule = _chosen("vjp_from_jvp", fun, "jvp", jvp)
    value = fun if rule is None else lambda *args: rule(args, pytree.tree_map(zero_from_primal, args))[0]
    forward = rule if rule is not None else lambda ps, ts: forward_mode(_given(fun), ps, ts)
    made = custom_rule(_named(value, fun or jvp), jvp=_named(forward, fun or jvp))

    def vjp(*primals: Any) -> Any:
        return reverse_mode(made, *primals)

    return vjp


def _chosen(name: str, fun: Any, word: str, rule: Any) -> Any:
    """The rule, if that was given instead of a function."""
    if (fun is None) == (rule is None):
        raise TypeError(
            f"{name} expects either a function, or its derivative as {word}=...; got "
            + ("neither" if fun is None else "both")
        )
    given = fun if rule is None else rule
    if not callable(given):
        raise TypeError(f"{name} expects a function, got {given!r} of type {type(given).__name__}")
    return rule


def _given(fun: Function | None) -> Function:
    assert fun is not None
    return fun


def _named(function: Any, origin: Any) -> Function:
    def call(*args: Any) -> Any:
        return function(*args)

    call.__name__ = name_of(origin)
    return call


__all__ = ["jvp_from_vjp", "vjp_from_jvp"]
