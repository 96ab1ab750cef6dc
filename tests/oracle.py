"""Differential tests: the same call on Pullback and on real JAX must agree in type, weak type and value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

from pullback._src.base.config import enable_x64
from pullback._src.core import dtypes
from pullback._src.core.array import Array

from .flat import flat, vjp_of
from .matrix import arrays, epsilon


def leaves(out: Any) -> list[Any]:
    """The arrays of a result: an array, or a (named) tuple or list of them, None left out."""
    if isinstance(out, (tuple, list)):
        return [leaf for item in out for leaf in leaves(item)]
    return [] if out is None else [out]


def _wide(value: Any) -> np.ndarray[Any, Any]:
    data = np.asarray(value)
    if data.dtype.kind == "c":
        return data.astype(np.complex128)
    return data.astype(np.float64) if dtypes.is_inexact(data.dtype) else data


def _type(value: Any) -> tuple[Any, ...]:
    return (str(value.dtype), tuple(value.shape), bool(value.weak_type))


def assert_same(ours: Any, theirs: Any, what: str = "", *, units: float = 8.0) -> None:
    """Results of both libraries agree: types with weak types, and values up to `units` of rounding."""
    mine, other = leaves(ours), leaves(theirs)
    assert len(mine) == len(other), f"{what}: {len(mine)} results, JAX gives {len(other)}"
    for i, (a, e) in enumerate(zip(mine, other, strict=True)):
        if not isinstance(a, Array):
            assert type(a) is type(e) and a == e, f"{what}, result {i}: {a!r}, JAX gives {e!r}"
            continue
        assert _type(a) == _type(e), f"{what}, result {i}: type {_type(a)}, JAX gives {_type(e)}"
        x, y = _wide(a), _wide(e)
        if dtypes.is_inexact(a.aval.dtype):
            unit = epsilon(a.aval.dtype)
            size = float(np.max(np.abs(y), where=np.isfinite(y), initial=0.0))
            np.testing.assert_allclose(
                x, y, rtol=units * unit, atol=units * unit * size, err_msg=f"{what}, result {i}"
            )
        else:
            np.testing.assert_array_equal(x, y, err_msg=f"{what}, result {i}")


def quickly(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` by JAX, compiled without optimization: for long programs that run once.

    Not where it matters whether two computations of one number round alike.
    """
    program = jax.jit(function).lower(*args)
    return program.compile(compiler_options={"xla_backend_optimization_level": 0})(*args)


class _Call(NamedTuple):
    """A call of JAX that waits for others, and what its results are compared by."""

    x64: bool
    function: Callable[..., list[Any]]
    args: tuple[Any, ...]
    compare: Callable[[list[Any]], None]


_waiting: list[_Call] | None = None
_MOST = 40  # calls that are compiled together


@contextmanager
def together() -> Iterator[None]:
    """Within, what `check` and `check_grad` ask of JAX is compiled in a few programs and compared at the end.

    For JAX, compiling costs a thousand times more than running, and less for many small operations at once.
    Errors, and what depends on values, are still found call by call.
    """
    global _waiting
    _waiting = []
    try:
        yield
        calls = _waiting
    finally:
        _waiting = None
    for x64 in (False, True):
        chosen = [c for c in calls if c.x64 == x64]
        for start in range(0, len(chosen), _MOST):
            part = chosen[start : start + _MOST]
            with jax.enable_x64(x64):
                results = jax.jit(
                    lambda args, part=part: [c.function(*a) for c, a in zip(part, args, strict=True)]
                )([c.args for c in part])
            for call, expected in zip(part, results, strict=True):
                call.compare(expected)


def _can_wait(function: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether JAX can trace the call: it is not wrong, and does not depend on values."""
    try:
        jax.eval_shape(function, *args)
    except Exception:
        return False
    return True


def check(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *args: Any,
    x64: bool = False,
    units: float = 8.0,
    **options: Any,
) -> None:
    """`ours(*args, **options)` agrees with `theirs(*args, **options)`; where JAX raises, we must too.

    `args` are NumPy arrays, Python numbers or lists, handed to both as they are (NumPy arrays converted).
    """
    what = f"{getattr(theirs, '__name__', 'function')}{args, options}"
    with enable_x64(x64), jax.enable_x64(x64):
        to_jax = [jax.numpy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
        to_ours = [arrays([a])[0] if isinstance(a, np.ndarray) else a for a in args]
        places = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)]

        def traced(*given: Any) -> list[Any]:
            full = list(to_jax)
            for i, x in zip(places, given, strict=True):
                full[i] = x
            return leaves(theirs(*full, **options))

        given = tuple([to_jax[i] for i in places])
        try:
            if _waiting is not None and _can_wait(traced, given):
                found = ours(*to_ours, **options)
                if all(isinstance(leaf, Array) for leaf in leaves(found)):
                    _waiting.append(
                        _Call(x64, traced, given, lambda e: assert_same(found, e, what, units=units))
                    )
                    return
            expected = theirs(*to_jax, **options)
        except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
            try:
                found = ours(*to_ours, **options)
            except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
                return
            raise AssertionError(f"{what}: JAX raises {error!r}, but we return {found!r}") from None
        assert_same(ours(*to_ours, **options), expected, what, units=units)


def check_grad(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *args: Any,
    argnums: Sequence[int] = (0,),
    x64: bool = False,
    units: float = 64.0,
    seed: int = 0,
    **options: Any,
) -> None:
    """The pullbacks of both libraries agree at the same cotangent of the inexact results."""
    what = f"the pullback of {getattr(theirs, '__name__', 'function')}{args, options}"
    with enable_x64(x64), jax.enable_x64(x64):
        to_jax = [jax.numpy.asarray(a) for a in args]

        def reference(*chosen: Any) -> list[Any]:
            full = list(to_jax)
            for i, x in zip(argnums, chosen, strict=True):
                full[i] = x
            return [o for o in leaves(theirs(*full, **options)) if dtypes.is_inexact(o.dtype)]

        def pullback(chosen: Any, cotangents: Any) -> Any:
            return jax.vjp(reference, *chosen)[1](cotangents)

        chosen = [to_jax[i] for i in argnums]
        rng = np.random.default_rng(seed)
        cotangents = []
        for o in jax.eval_shape(reference, *chosen):
            ct = rng.normal(size=o.shape)
            if o.dtype.kind == "c":
                ct = ct + 1j * rng.normal(size=o.shape)
            cotangents.append(np.asarray(ct).astype(o.dtype))
        given = chosen, [jax.numpy.asarray(c) for c in cotangents]
        mine = vjp_of(flat(lambda *xs: leaves(ours(*xs, **options))), tuple(argnums), len(args))(
            *arrays(args), *arrays(cotangents)
        )

        def compare(theirs_grads: Any) -> None:
            for i, (a, e) in enumerate(zip(mine, theirs_grads, strict=True)):
                assert a.aval.dtype == e.dtype and a.aval.shape == e.shape, (
                    f"{what}, {i}: {a.aval}, JAX: {e.aval}"
                )
                x, y = _wide(a), _wide(e)
                unit = epsilon(a.aval.dtype)
                size = float(np.max(np.abs(y), where=np.isfinite(y), initial=0.0))
                np.testing.assert_allclose(
                    x, y, rtol=units * unit, atol=units * unit * size, err_msg=f"{what}, {i}"
                )

        if _waiting is not None and _can_wait(pullback, given):
            _waiting.append(_Call(x64, pullback, given, compare))
        else:
            compare(jax.jit(pullback)(*given))  # as a whole, which is faster than operation by operation
