"""Greatest common divisors and least common multiples."""

from __future__ import annotations

from typing import Any

from ...control.while_loop import while_loop
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.reduction import reduce_or_p
from ...ops.structural import broadcast_to
from .promotion import promote

__all__ = ["gcd", "lcm"]


def _integers(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    x, y = promote(name, x1, x2)
    if kind(x.aval.dtype) not in "iu":
        raise ValueError(f"{name} expects integers; got dtypes {x.dtype} and {y.dtype}")
    return x, y


def gcd(x1: Any, x2: Any) -> Array:
    """The greatest common divisor of |x1| and |x2|, elementwise; gcd(0, 0) is 0.

    Raises:
        ValueError: arguments that are no integers.
    """
    x, y = _integers("gcd", x1, x2)
    return _gcd(*_sizes(x, y))


def _sizes(x: Any, y: Any) -> tuple[Any, Any]:
    return (x, y) if kind(x.aval.dtype) == "u" else (ar.abs_p.bind(x), ar.abs_p.bind(y))


def _gcd(x: Any, y: Any) -> Any:
    """Euclid's algorithm on all elements at once, until the last one is done."""
    shape = cmp.eq_p.bind(x, y).aval.shape
    x, y = broadcast_to(x, shape), broadcast_to(y, shape)
    zero = scalar(0, x.aval.dtype)
    axes = tuple(range(len(shape)))

    def unfinished(pair: tuple[Any, Any]) -> Any:
        return reduce_or_p.bind(cmp.ne_p.bind(pair[1], zero), axes=axes)

    def step(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = pair
        done = cmp.eq_p.bind(b, zero)
        divisor = cmp.select_n_p.bind(done, b, scalar(1, b.aval.dtype))
        rest = cmp.select_n_p.bind(done, ar.rem_p.bind(a, divisor), b)
        return cmp.select_n_p.bind(done, b, a), rest

    return while_loop(unfinished, step, (x, y))[0]


def lcm(x1: Any, x2: Any) -> Array:
    """The least common multiple of |x1| and |x2|, elementwise; zero where either is zero.

    Raises:
        ValueError: arguments that are no integers.
    """
    x, y = _sizes(*_integers("lcm", x1, x2))
    divisor = _gcd(x, y)
    zero = scalar(0, x.aval.dtype)
    safe = cmp.select_n_p.bind(cmp.eq_p.bind(divisor, zero), divisor, scalar(1, x.aval.dtype))
    return ar.mul_p.bind(x, ar.div_p.bind(y, safe))
