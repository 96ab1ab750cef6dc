"""Random numbers that need rejection loops: gamma, Poisson and binomial samples from keys.

The loops run inside the kernels, on all samples at once. Operands: keys of any shape, and parameters whose
leading dimensions are those of the keys (`random_binomial`: both). Samples of the gamma distribution have the
implicit derivative by their parameter (Figurnov, Mohamed & Mnih, NeurIPS 2018); counts have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.config import settings
from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import div_p, max_p, mul_p
from .prng import KEY
from .special import random_gamma_grad_p
from .structural import broadcast_in_dim, moveaxis
from .transcendental import exp_p

_COUNTS = "counts are discrete"


def _check(name: str, keys: ShapedArray, *parameters: ShapedArray) -> None:
    if keys.dtype != KEY:
        raise DTypeError(f"{name} expects random keys; got {keys.str_short()}")
    for p in parameters:
        if kind(p.dtype) != "f":
            raise DTypeError(f"{name} expects floating-point parameters; got {p.str_short()}")
        if p.shape != parameters[0].shape or p.dtype != parameters[0].dtype:
            raise ShapeError(
                f"{name} expects parameters of one type; got {p.str_short()} and {parameters[0].str_short()}"
            )
    if parameters[0].shape[: keys.ndim] != keys.shape:
        raise ShapeError(
            f"{name}: the parameters' shape {parameters[0].shape} must begin with the keys', {keys.shape}"
        )


def _batch_of(primitive: Primitive) -> Callable[..., tuple[Any, int]]:
    """Mapped dimensions go first in keys and parameters alike."""

    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int | None], **params: Any) -> tuple[Any, int]:
        aligned = []
        for v, d in zip(values, dims, strict=True):
            if d is None:
                shape = v.aval.shape
                v = broadcast_in_dim(v, (axis.size, *shape), tuple(range(1, len(shape) + 1)))
            else:
                v = moveaxis(v, d, 0)
            aligned.append(v)
        return primitive.bind(*aligned, **params), 0

    return rule


def _layout() -> dict[str, Any]:
    return {"partitionable": True} if settings().threefry_partitionable else {}


# gamma --------------------------------------------------------------------------------------------

random_gamma_p = Primitive("random_gamma")


def random_gamma(keys: Any, a: Any, log_space: bool) -> Any:
    """Samples of density x^(a-1) exp(-x) / Gamma(a), or their logarithms, each from a key of its own."""
    return random_gamma_p.bind(keys, a, log_space=log_space, **_layout())


def _gamma_abstract(
    keys: ShapedArray, a: ShapedArray, *, log_space: bool, partitionable: bool = False
) -> ShapedArray:
    _check("random_gamma", keys, a)
    return shaped_array(a.shape, a.dtype)


def _gamma_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, log_space: bool, **params: Any
) -> tuple[Any, Any]:
    keys, a = primals
    out = random_gamma_p.bind(keys, a, log_space=log_space, **params)
    t = tangents[1]
    if type(t) is Zero:
        return out, Zero(out.aval.tangent)
    if not log_space:
        return out, mul_p.bind(t, random_gamma_grad_p.bind(a, out))
    # d log x = dx / x; x may underflow.
    tiny = scalar(float(dtypes.finfo(out.aval.dtype).tiny), out.aval.dtype)
    sample = max_p.bind(exp_p.bind(out), tiny)
    return out, mul_p.bind(t, div_p.bind(random_gamma_grad_p.bind(a, sample), sample))


rules.abstract[random_gamma_p] = _gamma_abstract
rules.jvp[random_gamma_p] = _gamma_jvp
rules.batch[random_gamma_p] = _batch_of(random_gamma_p)

# Poisson ------------------------------------------------------------------------------------------

random_poisson_p = Primitive("random_poisson")


def random_poisson(keys: Any, rate: Any, dtype: np.dtype[Any]) -> Any:
    """Numbers of events at the given rates, as integers of `dtype`."""
    return random_poisson_p.bind(keys, rate, dtype=dtype, **_layout())


def _poisson_abstract(
    keys: ShapedArray, rate: ShapedArray, *, dtype: np.dtype[Any], partitionable: bool = False
) -> ShapedArray:
    _check("random_poisson", keys, rate)
    return shaped_array(rate.shape, dtype)


rules.abstract[random_poisson_p] = _poisson_abstract
rules.batch[random_poisson_p] = _batch_of(random_poisson_p)

# binomial -----------------------------------------------------------------------------------------

random_binomial_p = Primitive("random_binomial")


def random_binomial(keys: Any, count: Any, probability: Any) -> Any:
    """Numbers of successes among `count` trials, as floats (NaN for invalid parameters)."""
    return random_binomial_p.bind(keys, count, probability, **_layout())


def _binomial_abstract(
    keys: ShapedArray, count: ShapedArray, probability: ShapedArray, *, partitionable: bool = False
) -> ShapedArray:
    _check("random_binomial", keys, count, probability)
    return shaped_array(count.shape, count.dtype)


rules.abstract[random_binomial_p] = _binomial_abstract
rules.batch[random_binomial_p] = _batch_of(random_binomial_p)


def _no_tangent(primitive: Primitive) -> Callable[..., tuple[Any, Any]]:
    """Counts do not vary with their parameters: their derivative is zero wherever it exists."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        out = primitive.bind(*primals, **params)
        return out, Zero(out.aval.tangent)

    return rule


for _primitive in (random_poisson_p, random_binomial_p):
    rules.jvp[_primitive] = _no_tangent(_primitive)
for _primitive in (random_gamma_p, random_poisson_p, random_binomial_p):
    rules.not_transposable[_primitive] = _COUNTS if _primitive is not random_gamma_p else "it is not linear"
