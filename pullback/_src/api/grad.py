"""Gradients: `grad` and `value_and_grad`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.array import scalar
from ..core.aval import Zero
from ..ops.structural import instantiate, strong
from ..transforms.linearize import linearize
from ..transforms.transpose import pull_back
from .common import (
    Selected,
    check_callable,
    check_inputs,
    check_scalar_output,
    flatten_aux,
    float0_zeros,
    match_weak_type,
    scalar_output,
    split_aux,
    wraps,
)


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns `fun`'s value and its gradient.

    Args:
        fun: returns a scalar (shape `()`, floating point; complex if holomorphic), or with `has_aux` a pair
            (scalar, auxiliary data).
        argnums: the positional arguments (each an array, a number, or a pytree of those) by which to
            differentiate: an int, or a tuple, which makes the gradient a tuple.
        has_aux: whether `fun` returns auxiliary data, which are passed through.
        holomorphic: a promise that `fun` is holomorphic; inputs and output must then be complex.
        allow_int: give integer inputs a gradient of dtype float0 instead of refusing them.

    Returns:
        A function of the same arguments returning `(value, gradient)`, or `((value, aux), gradient)`. The
        gradient has the structure, shapes and dtypes of the differentiated arguments. For real functions
        of complex arguments z = x + iy it is df/dx - i df/dy.

    Raises:
        TypeError: the output is no scalar, or a dtype has no derivative (when the result is called).
    """
    check_callable("value_and_grad", fun)

    @wraps(fun, "value_and_grad")
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        selected = Selected("value_and_grad", argnums, args, kwargs)
        value, aux, gradient = _compute("value_and_grad", fun, selected, has_aux, holomorphic, allow_int)
        return ((value, aux) if has_aux else value), gradient

    return value_and_gradient


def _compute(
    name: str, fun: Callable[..., Any], selected: Selected, has_aux: bool, holomorphic: bool, allow_int: bool
) -> tuple[Any, Any, Any]:
    """The value, the auxiliary data and the gradient."""
    check_inputs(name, selected, holomorphic=holomorphic, allow_int=allow_int)
    rebuild_aux: Any = None

    def flat(*leaves: Any) -> list[Any]:
        nonlocal rebuild_aux
        out = selected.call(fun, leaves)
        if not has_aux:
            return [scalar_output(name, fun, out)]
        out, aux = split_aux(name, out)
        aux_leaves, rebuild_aux = flatten_aux(aux)
        return [scalar_output(name, fun, out), *aux_leaves]

    (value, *aux), derivative = linearize(flat, selected.leaves, None)
    check_scalar_output(name, fun, value, holomorphic=holomorphic)
    gradients = _pull_back_one(derivative, value)
    gradient = selected.unflatten(_complete(gradients, selected, derivative.in_nonzero))
    return value, rebuild_aux(aux) if has_aux else None, gradient


def _pull_back_one(derivative: Any, value: Any) -> list[Any]:
    """The cotangents of the inputs for the cotangent 1 of the first output."""
    one = strong(scalar(1, value.aval.dtype))
    cts = [Zero(v.aval) for v in derivative.program.outvars]
    if derivative.out_nonzero[0]:
        cts[0] = one
    return pull_back(derivative.program, derivative.residuals, cts)


def _complete(cts: list[Any], selected: Selected, nonzero: tuple[bool, ...]) -> list[Any]:
    """A gradient for each leaf: the cotangent, zeros, or float0."""
    rest = iter(cts)
    out: list[Any] = []
    for leaf, nz in zip(selected.leaves, nonzero, strict=True):
        if not nz:
            out.append(float0_zeros(leaf.aval.shape))
            continue
        ct = next(rest)
        if type(ct) is Zero:
            ct = instantiate(ct)
        out.append(match_weak_type(ct, leaf.aval))
    return out


def grad(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `fun`.

    Args and errors as in `value_and_grad`. Example:

    >>> import pullback as pb, pullback.numpy as pnp
    >>> print(pb.grad(pnp.tanh)(2.0))
    0.070650816

    Returns:
        A function of the same arguments returning the gradient, or `(gradient, aux)` with `has_aux`.
    """
    check_callable("grad", fun)

    @wraps(fun, "grad")
    def gradient(*args: Any, **kwargs: Any) -> Any:
        selected = Selected("grad", argnums, args, kwargs)
        _, aux, result = _compute("grad", fun, selected, has_aux, holomorphic, allow_int)
        return (result, aux) if has_aux else result

    return gradient
