"""Functions of Python numbers: their results are weakly typed where JAX's are, their derivatives always."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
import pullback.scipy.special

_NUMBERS = (0.3, 0.7, 0.4)
_UNARY = {
    "numpy": (
        "abs cos exp log1p sqrt square reciprocal sinc sign tanh max min sum mean prod std var median ptp "
        "cumsum cumprod nanmax nansum nanmean nancumsum ravel squeeze flip atleast_1d positive real conj "
        "nan_to_num log2 log10 cbrt i0 spacing unique"
    ),
    "nn": "relu relu6 leaky_relu elu gelu silu softplus sigmoid hard_tanh selu mish logsumexp",
    "lax": "abs erf lgamma logistic rsqrt sin conj integer_pow",
    "scipy.special": (
        "dawsn erfcx exp1 expi gamma gammasgn log_ndtr ndtr ndtri spence softmax log_softmax fresnel sici "
        "erf erfinv gammaln digamma i0e expit logit entr"
    ),
}
_BINARY = {
    "numpy": (
        "add multiply true_divide power arctan2 hypot logaddexp maximum minimum fmax fmod heaviside copysign "
        "nextafter append percentile quantile pad outer dot union1d setdiff1d setxor1d "
        "intersect1d extract"
    ),
    "lax": "add max pow atan2 rem nextafter igamma",
    "scipy.special": "beta owens_t poch betaln xlogy xlog1py gammainc",
}
_TERNARY = {"numpy": "where clip linspace", "lax": "clamp", "scipy.special": "hyp1f1 betainc"}

# Integer arguments in the place of the second number.
_SECOND = {"pad": 1, "integer_pow": 2}


def _cases() -> list[Any]:
    return [
        pytest.param(space, name, count, id=f"{space}.{name}")
        for count, table in ((1, _UNARY), (2, _BINARY), (3, _TERNARY))
        for space, names in table.items()
        for name in names.split()
    ]


def _of(package: Any, space: str, name: str, count: int) -> tuple[Callable[..., Any], tuple[float, ...]]:
    function: Any = package
    for part in [*space.split("."), name]:
        function = getattr(function, part)
    if name in _SECOND:
        return lambda x: function(x, _SECOND[name]), _NUMBERS[:1]
    if name == "linspace":
        return lambda x, y, z: function(x, y, 3), _NUMBERS
    return function, _NUMBERS[:count]


def _types(package: Any, tree: Any) -> list[tuple[str, bool]]:
    return [(str(v.dtype), bool(v.weak_type)) for v in package.tree_util.tree_leaves(tree)]


@pytest.mark.parametrize(("space", "name", "count"), _cases())
def test_results_of_python_numbers_have_the_types_of_jax(space: str, name: str, count: int) -> None:
    ours, numbers = _of(pb, space, name, count)
    theirs, _ = _of(jax, space, name, count)
    assert _types(pb, ours(*numbers)) == _types(jax, theirs(*numbers))


# No derivative by some argument.
_NO_GRADIENT = {"hyp1f1", "betainc", "igamma", "gammainc", "nextafter", "linspace"}
# The size of the result depends on values: not under jit.
_VARIABLE = {"unique", "union1d", "setdiff1d", "setxor1d", "intersect1d", "extract"}


@pytest.mark.parametrize(("space", "name", "count"), [c for c in _cases() if c.values[1] not in _NO_GRADIENT])
def test_gradients_by_python_numbers_are_weakly_typed(space: str, name: str, count: int) -> None:
    # JAX agrees but for a few compositions (power, log2, quantile, append, logsumexp), whose gradients there
    # lose the weak type of the argument.
    function, numbers = _of(pb, space, name, count)

    def total(*args: Any) -> Any:
        return sum(pnp.sum(pnp.real(v)) for v in pb.tree_util.tree_leaves(function(*args)))

    gradient = pb.grad(total, argnums=tuple(range(len(numbers))))
    # The first use, what is remembered of it, and the staged one.
    for use in (gradient, gradient, *([] if name in _VARIABLE else [pb.jit(gradient)])):
        assert _types(pb, use(*numbers)) == [("float32", True)] * len(numbers)


def test_gradients_by_arrays_are_strongly_typed() -> None:
    x = np.float32(0.3)
    for name in _UNARY["numpy"].split():
        found = pb.grad(lambda v, name=name: pnp.sum(getattr(pnp, name)(v)))(x)
        assert not found.weak_type, name


@pytest.mark.parametrize("mode", ["constant", "edge", "linear_ramp", "mean", "reflect"])
def test_vectors_of_weak_type_stay_so(mode: str) -> None:
    ours, theirs = pnp.broadcast_to(1.0, (3,)), jnp.broadcast_to(1.0, (3,))
    assert pnp.pad(ours, 1, mode).weak_type == jnp.pad(theirs, 1, mode).weak_type
    places = np.array([0, 2])
    for staged in (False, True):
        take = lambda v: pnp.take(v, places)
        assert (pb.jit(take) if staged else take)(ours).weak_type == jnp.take(theirs, places).weak_type
