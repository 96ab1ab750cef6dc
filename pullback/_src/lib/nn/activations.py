"""Activation functions: elementwise, on arrays or numbers; integers become floats.

At a kink the derivative is the one of the flat side (`relu` at 0: 0), as is usual in training. `relu`,
`relu6` and what is built of them have derivative 0 at NaN too.
"""

from __future__ import annotations

import math
from typing import Any

from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import (
    abs_p,
    add_p,
    clamp,
    div_p,
    integer_pow,
    log_p,
    max_p,
    min_p,
    mul_p,
    relu_p,
    square_p,
)
from ...ops.compare import ge_p, gt_p, le_p, lt_p, select_n_p
from ...ops.complex import neg_p
from ...ops.families import checked
from ...ops.joining import slice_p
from ...ops.special import erfc_p
from ...ops.stable import logaddexp_p
from ...ops.structural import canonical_axis, strong
from ...ops.transcendental import exp_p, expm1_p, log1p_p, logistic_p, sqrt_p, tanh_p
from ..numpy.promotion import promote, promote_inexact

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
]


def _inexact(name: str, x: Any) -> Any:
    return promote_inexact(name, x)[0]


def _c(x: Any, value: float) -> Any:
    return scalar(value, x.aval.dtype)


def identity(x: Any) -> Array:
    """x."""
    return promote("identity", x)[0]


def relu(x: Any) -> Array:
    """max(x, 0), with derivative 0 at 0."""
    return checked(relu_p, *promote("relu", x))


def relu6(x: Any) -> Array:
    """min(max(x, 0), 6), with derivative 0 at both ends."""
    x = _inexact("relu6", x)
    return clamp(_c(x, 0), x, _c(x, 6))


def sigmoid(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return logistic_p.bind(_inexact("sigmoid", x))


def tanh(x: Any, /) -> Array:
    """The hyperbolic tangent."""
    return tanh_p.bind(_inexact("tanh", x))


def softplus(x: Any) -> Array:
    """log(1 + exp(x))."""
    x = _inexact("softplus", x)
    return logaddexp_p.bind(x, _c(x, 0))


def log_sigmoid(x: Any) -> Array:
    """log(sigmoid(x)) = -softplus(-x)."""
    return neg_p.bind(softplus(neg_p.bind(_inexact("log_sigmoid", x))))


def sparse_plus(x: Any) -> Array:
    """0 below -1, x above 1, and (x + 1)^2 / 4 between."""
    x = _inexact("sparse_plus", x)
    one = _c(x, 1)
    middle = div_p.bind(square_p.bind(add_p.bind(x, one)), _c(x, 4))
    upper = select_n_p.bind(ge_p.bind(x, one), middle, x)
    return select_n_p.bind(le_p.bind(x, _c(x, -1)), upper, _c(x, 0))


def sparse_sigmoid(x: Any) -> Array:
    """0 below -1, 1 above 1, and (x + 1) / 2 between."""
    x = _inexact("sparse_sigmoid", x)
    clipped = min_p.bind(_c(x, 2), max_p.bind(_c(x, 0), add_p.bind(x, _c(x, 1))))
    return mul_p.bind(_c(x, 0.5), clipped)


def soft_sign(x: Any) -> Array:
    """x / (|x| + 1)."""
    x = _inexact("soft_sign", x)
    size = abs_p.bind(x)
    return div_p.bind(*promote("soft_sign", x, add_p.bind(size, _c(size, 1))))


def silu(x: Any) -> Array:
    """x sigmoid(x)."""
    x = _inexact("silu", x)
    return mul_p.bind(x, logistic_p.bind(x))


def swish(x: Any) -> Array:
    """x sigmoid(x), as `silu`."""
    return silu(x)


def mish(x: Any) -> Array:
    """x tanh(softplus(x))."""
    x = _inexact("mish", x)
    return mul_p.bind(x, tanh_p.bind(softplus(x)))


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Array:
    """x where x >= 0, else negative_slope x."""
    x, slope = promote_inexact("leaky_relu", x, negative_slope)
    return select_n_p.bind(ge_p.bind(x, _c(x, 0)), mul_p.bind(slope, x), x)


def hard_tanh(x: Any) -> Array:
    """x limited to [-1, 1]."""
    (x,) = promote("hard_tanh", x)
    one = _c(x, 1)
    upper = select_n_p.bind(gt_p.bind(x, one), x, one)
    if kind(x.aval.dtype) == "u":
        return upper
    minus_one = _c(x, -1)
    return select_n_p.bind(lt_p.bind(x, minus_one), upper, minus_one)


def hard_sigmoid(x: Any) -> Array:
    """relu6(x + 3) / 6."""
    x = _inexact("hard_sigmoid", x)
    return div_p.bind(relu6(add_p.bind(x, _c(x, 3))), _c(x, 6))


def hard_silu(x: Any) -> Array:
    """x hard_sigmoid(x)."""
    x = _inexact("hard_silu", x)
    return mul_p.bind(x, hard_sigmoid(x))


def hard_swish(x: Any) -> Array:
    """x hard_sigmoid(x), as `hard_silu`."""
    return hard_silu(x)


def elu(x: Any, alpha: Any = 1.0) -> Array:
    """x where x > 0, else alpha (exp(x) - 1)."""
    x, factor = promote_inexact("elu", x, alpha)
    positive = gt_p.bind(x, _c(x, 0))
    # The exponential of large x must not reach the derivative.
    safe = select_n_p.bind(positive, x, _c(x, 0))
    return select_n_p.bind(positive, mul_p.bind(factor, expm1_p.bind(safe)), x)


def celu(x: Any, alpha: Any = 1.0) -> Array:
    """max(x, 0) + alpha (exp(min(x, 0) / alpha) - 1)."""
    x, factor = promote_inexact("celu", x, alpha)
    zero = _c(x, 0)
    negative = mul_p.bind(factor, expm1_p.bind(div_p.bind(min_p.bind(x, zero), factor)))
    return add_p.bind(max_p.bind(x, zero), negative)


def selu(x: Any) -> Array:
    """1.0507 elu(x, 1.6733): self-normalizing (Klambauer et al., NeurIPS 2017)."""
    x = _inexact("selu", x)
    return mul_p.bind(_c(x, 1.0507009873554804934193349852946), elu(x, 1.6732632423543772848170429916717))


def gelu(x: Any, approximate: bool = True) -> Array:
    """x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel, 2016).

    Args:
        x: an array.
        approximate: use tanh(sqrt(2/pi) (x + 0.044715 x^3)) in place of erf(x / sqrt(2)).
    """
    x = _inexact("gelu", x)
    if approximate:
        inner = add_p.bind(x, mul_p.bind(_c(x, 0.044715), integer_pow(x, 3)))
        phi = add_p.bind(_c(x, 1), tanh_p.bind(mul_p.bind(strong(_c(x, math.sqrt(2 / math.pi))), inner)))
        return mul_p.bind(x, mul_p.bind(_c(x, 0.5), phi))
    tail = erfc_p.bind(mul_p.bind(neg_p.bind(x), strong(_c(x, math.sqrt(0.5)))))
    return mul_p.bind(mul_p.bind(_c(x, 0.5), x), tail)


def glu(x: Any, axis: int = -1) -> Array:
    """The first half of x along `axis` times the sigmoid of the second half.

    Raises:
        ValueError: the axis has an odd size.
    """
    x = _inexact("glu", x)
    shape = x.aval.shape
    place = canonical_axis(axis, len(shape))
    if shape[place] % 2:
        raise ValueError(f"glu: the size of axis {axis} must be divisible by 2, got shape {shape}")
    half = shape[place] // 2
    starts = [tuple(half * i if d == place else 0 for d in range(len(shape))) for i in (0, 1)]
    stops = [tuple(half * (i + 1) if d == place else n for d, n in enumerate(shape)) for i in (0, 1)]
    first, second = (
        slice_p.bind(x, start_indices=starts[i], limit_indices=stops[i], strides=None) for i in (0, 1)
    )
    return mul_p.bind(first, logistic_p.bind(second))


def squareplus(x: Any, b: Any = 4) -> Array:
    """(x + sqrt(x^2 + b)) / 2."""
    x, offset = promote_inexact("squareplus", x, b)
    root = sqrt_p.bind(add_p.bind(square_p.bind(x), offset))
    return div_p.bind(add_p.bind(x, root), _c(x, 2))


def log1mexp(x: Any) -> Array:
    """log(1 - exp(-x)) for x > 0, accurate for small and for large x (M. Mächler, 2012)."""
    x = _inexact("log1mexp", x)
    small = lt_p.bind(x, _c(x, math.log(2)))
    # Each form gets harmless arguments where the other one is chosen, so that its derivative is finite.
    low = select_n_p.bind(small, _c(x, 1), x)
    high = select_n_p.bind(small, x, _c(x, 1))
    near = log_p.bind(neg_p.bind(expm1_p.bind(neg_p.bind(low))))
    far = log1p_p.bind(neg_p.bind(exp_p.bind(neg_p.bind(high))))
    return select_n_p.bind(small, far, near)
