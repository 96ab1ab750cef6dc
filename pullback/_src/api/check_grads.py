"""`check_grads`: derivatives against finite differences, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..core.array import Array
from ..core.kinds import kind
from ..lib.numpy.promotion import asarray
from .vjp import jvp, vjp

_TOLERANCE = {
    "float16": 1e-2,
    "bfloat16": 1e-1,
    "float32": 2e-3,
    "float64": 1e-5,
    "complex64": 2e-3,
    "complex128": 1e-5,
}
_EPS = {"float32": 1e-2, "complex64": 1e-2}


def _inexact(x: Any) -> bool:
    return kind(asarray(x).aval.dtype) in "fc"


def _random_like(rng: np.random.Generator, x: Any) -> Any:
    array = asarray(x)
    dtype = array.aval.dtype
    if kind(dtype) not in "fc":
        return np.zeros(array.shape, [("float0", np.void, 0)])
    data = rng.standard_normal(array.shape)
    if kind(dtype) == "c":
        data = data + 1j * rng.standard_normal(array.shape)
    return asarray(np.asarray(data).astype(dtype))


def _shifted(primals: Any, direction: Any, step: float) -> Any:
    def move(x: Any, d: Any) -> Any:
        x = asarray(x)
        if kind(x.aval.dtype) not in "fc":
            return x
        wide = np.complex128 if kind(x.aval.dtype) == "c" else np.float64
        moved = np.asarray(x).astype(wide) + step * np.asarray(d).astype(wide)
        return asarray(moved.astype(x.aval.dtype))

    return pytree.tree_map(move, primals, direction)


def _difference_quotient(f: Callable[..., Any], primals: Any, direction: Any, eps: float) -> Any:
    """(f(x + eps d / 2) - f(x - eps d / 2)) / eps, in double precision."""
    plus = f(*_shifted(primals, direction, eps / 2))
    minus = f(*_shifted(primals, direction, -eps / 2))

    def quotient(a: Any, b: Any) -> Any:
        a, b = np.asarray(a), np.asarray(b)
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        return (a.astype(wide) - b.astype(wide)) / eps

    return pytree.tree_map(quotient, plus, minus)


def _default(values: Any, table: dict[str, float], fallback: float) -> float:
    names = {asarray(v).aval.dtype.name for v in pytree.leaves_of(values) if _inexact(v)}
    return max((table.get(n, fallback) for n in names), default=fallback)


def _assert_close(found: Any, expected: Any, atol: float, rtol: float, what: str) -> None:
    for (path, a), b in zip(pytree.tree_leaves_with_path(found), pytree.leaves_of(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind == "V" or b.dtype.kind == "V":
            continue
        if not np.allclose(a, b, atol=atol, rtol=rtol, equal_nan=True):
            where = pytree.keystr(path)
            worst = np.unravel_index(np.argmax(np.abs(a - b)), a.shape) if a.ndim else ()
            raise AssertionError(
                f"{what}{' at ' + where if where else ''}: the derivative gives {a[worst]}, finite "
                f"differences give {b[worst]} (at index {worst} of shape {a.shape}; atol={atol}, "
                f"rtol={rtol}). Either a rule is wrong, or the function is not smooth there, or eps does not "
                "suit it."
            )


def _settings(
    args: tuple[Any, ...], atol: float | None, rtol: float | None, eps: float | None
) -> tuple[float, float, float]:
    """The tolerances and the step, by default those that suit the least precise argument."""
    return (
        _default(args, _TOLERANCE, 1e-5) if atol is None else atol,
        _default(args, _TOLERANCE, 1e-5) if rtol is None else rtol,
        _default(args, _EPS, 1e-4) if eps is None else eps,
    )


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare `f_jvp(args, tangents)` with `f` and its difference quotient in a random direction.

    Raises:
        AssertionError: they differ by more than the tolerances.
    """
    args = tuple(args)
    atol, rtol, eps = _settings(args, atol, rtol, eps)
    rng = np.random.default_rng(0)
    direction = pytree.tree_map(lambda x: _random_like(rng, x), args)
    value, tangent = f_jvp(args, direction)
    _assert_close(value, f(*args), atol, rtol, f"{err_msg} jvp's value".strip())
    _assert_close(
        tangent, _difference_quotient(f, args, direction, eps), atol, rtol, f"{err_msg} jvp's tangent".strip()
    )


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare `f_vjp(*args)` with `f` and, paired with a random cotangent, its difference quotient.

    Raises:
        AssertionError: they differ by more than the tolerances.
    """
    args = tuple(args)
    atol, rtol, eps = _settings(args, atol, rtol, eps)
    rng = np.random.default_rng(1)
    value, pull = f_vjp(*args)
    _assert_close(value, f(*args), atol, rtol, f"{err_msg} vjp's value".strip())
    direction = pytree.tree_map(lambda x: _random_like(rng, x), args)
    quotient = _difference_quotient(f, args, direction, eps)
    cotangent = pytree.tree_map(lambda x: _random_like(rng, x), value)
    pulled = pull(cotangent)
    _assert_close(
        _pairing(pulled, direction),
        _pairing(cotangent, quotient),
        atol,
        rtol,
        f"{err_msg} vjp's product <ct, J v>".strip(),
    )


def _pairing(cotangents: Any, tangents: Any) -> Any:
    """The sum of products, without conjugation (of which the real part is what both modes agree on)."""
    total = 0.0
    for c, t in zip(pytree.leaves_of(cotangents), pytree.leaves_of(tangents), strict=True):
        c, t = np.asarray(c), np.asarray(t)
        if c.dtype.kind != "V" and t.dtype.kind != "V":
            total += float(np.real(np.sum(c.astype(np.complex128) * t.astype(np.complex128))))
    return total


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check the derivatives of `f` up to `order` against finite differences in random directions.

    Args:
        f: a function of pytrees of arrays.
        args: the point: a tuple with one pytree for each argument.
        order: how often to differentiate.
        modes: "fwd" (jvp), "rev" (vjp) or both; at higher orders, all their combinations.
        atol, rtol: tolerances (default: by the dtypes of `args`).
        eps: the step of the differences (default: by the dtypes).

    Raises:
        AssertionError: a derivative is wrong.
    """
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"check_grads expects args as a tuple with an entry for each argument, got {args!r}")
    args = tuple(args)
    unknown = set([modes] if isinstance(modes, str) else modes) - {"fwd", "rev"}
    if unknown:
        raise ValueError(f"check_grads: modes must be 'fwd' and 'rev', got {sorted(unknown)}")
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    rng = np.random.default_rng(2)

    def check(f: Callable[..., Any], args: tuple[Any, ...], order: int, path: str) -> None:
        if "fwd" in modes:
            check_jvp(f, lambda p, t: jvp(f, p, t), args, atol, rtol, eps, f"{path}jvp order {order}:")
            if order > 1:
                direction = pytree.tree_map(lambda x: _random_like(rng, x), args)
                check(lambda *xs: jvp(f, xs, direction), args, order - 1, path + "jvp of ")
        if "rev" in modes:
            check_vjp(f, lambda *xs: vjp(f, *xs), args, atol, rtol, eps, f"{path}vjp order {order}:")
            if order > 1:
                cotangent = pytree.tree_map(lambda x: _random_like(rng, x), f(*args))

                def pulled(*xs: Any) -> Any:
                    value, pull = vjp(f, *xs)
                    leaves = [v for v in pytree.leaves_of(pull(cotangent)) if isinstance(v, Array)]
                    return value, leaves

                check(pulled, args, order - 1, path + "vjp of ")

    check(f, tuple(pytree.tree_map(asarray, args)), order, "")
