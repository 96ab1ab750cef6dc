"""The work in a program, counted over its equations.

Operations are counted as XLA does: a product and a sum are one each, a function like `exp` is a
*transcendental* and no *flop*, comparisons and selections count like sums, and what only moves elements is
free. A loop counts as often as it turns, one whose number of turns depends on data once; of several branches
the dearest counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.aval import ShapedArray
from ..core.program import Equation, Program, subprograms

_ENTRYWISE = frozenset(
    {
        "abs", "add", "add_any", "and", "ceil", "clamp", "clz", "complex", "conj",
        "convert_element_type", "div", "eq", "floor", "ge", "gt", "imag", "is_finite", "le", "lt",
        "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "population_count", "real",
        "relu", "rem", "round", "select_n", "shift_left", "shift_right_arithmetic",
        "shift_right_logical", "sign", "square", "sub", "xor", "reduce_precision",
    }
)  # fmt: skip
_TRANSCENDENTAL = frozenset(
    {
        "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e", "bessel_i1e",
        "bessel_j", "cbrt", "cos", "cosh", "cosine_integral", "dawsn", "digamma", "erf", "erf_inv",
        "erfc", "erfcx", "exp", "exp2", "expi", "expm1", "expn", "fresnel_cosine", "fresnel_sine",
        "hyp1f1", "hyp2f1", "hypot", "igamma", "igamma_grad_a", "igammac", "lgamma", "log", "log10",
        "log1p", "log2", "log_ndtr", "logaddexp", "logistic", "ndtri", "owens_t", "polygamma",
        "pow", "random_gamma_grad", "regularized_incomplete_beta", "rsqrt", "sin", "sinc",
        "sine_integral", "sinh", "spence", "sqrt", "tan", "tanh", "wofz", "zeta",
    }
)  # fmt: skip
_REDUCTIONS = frozenset(
    {
        "argmax", "argmin", "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "reduce_and",
        "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum", "reduce_xor",
    }
)  # fmt: skip
_SCATTERS = frozenset(
    {
        "scatter_add", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub",
    }
)  # fmt: skip


def cost_of(program: Program) -> dict[str, float]:
    """The work in a program.

    Returns:
        A dict with the keys of JAX's `cost_analysis`: "flops" and "transcendentals"; and "bytes accessed",
        the sizes of the operands and results of all equations: an upper bound, since a compiler need not
        write what it uses at once.
    """
    flops, transcendentals, size = _program(program)
    return {"flops": flops, "transcendentals": transcendentals, "bytes accessed": size}


_Cost = tuple[float, float, float]


def _program(program: Program) -> _Cost:
    costs = [_equation(eqn) for eqn in program.eqns]
    return sum(c[0] for c in costs), sum(c[1] for c in costs), sum(c[2] for c in costs)


def _equation(eqn: Equation) -> _Cost:
    name = eqn.primitive.name
    inner = [_program(p) for p in subprograms(eqn.params)]
    if inner:
        if name == "cond":
            return max(inner)
        turns = eqn.params["length"] if name == "scan" else 1
        flops, transcendentals, moved = [turns * sum(c[k] for c in inner) for k in range(3)]
        return flops, transcendentals, moved
    size = float(sum(_bytes(v.aval) for v in (*eqn.invars, *eqn.outvars)))
    ins, outs = [v.aval for v in eqn.invars], [v.aval for v in eqn.outvars]
    out = sum(a.size for a in outs)
    if name in _TRANSCENDENTAL:
        return 0.0, float(out), size
    if name in _ENTRYWISE:
        return float(out), 0.0, size
    if name in _REDUCTIONS:
        per_element = ins[0].size - (0 if name.startswith("cum") else out)
        return float(max(per_element, 0)), 0.0, size
    count = _COUNTS.get(name)
    return (0.0 if count is None else float(count(ins, outs, eqn.params))), 0.0, size


def _bytes(aval: ShapedArray) -> int:
    return aval.size * aval.dtype.itemsize


_Avals = list[ShapedArray]


def _dot(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    (contracted, _), _ = params["dimension_numbers"]
    return 2 * outs[0].size * math.prod([ins[0].shape[d] for d in contracted])


def _conv(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return 2 * outs[0].size * math.prod(ins[1].shape[1:])  # the kernel is (out channels, in channels, ...)


def _window(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return outs[0].size * (math.prod(params["windows"].dimensions) - 1)


def _matrices(times: float) -> Callable[[_Avals, _Avals, dict[str, Any]], int]:
    """`times` n m min(n, m) operations for each matrix (the last two dimensions)."""

    def count(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
        *batch, n, m = ins[0].shape
        return int(times * math.prod(batch) * n * m * min(n, m))

    return count


def _solve(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return _matrices(2 / 3)(ins, outs, params) + 2 * ins[0].shape[-1] * outs[0].size


def _svd(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return _matrices(22 if params["compute_uv"] else 8 / 3)(ins, outs, params)


def _tridiagonal_solve(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return 3 * ins[1].size + 5 * outs[0].size  # elimination, and both substitutions


def _triangular(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return ins[0].shape[-1] * outs[0].size


def _fft(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    points = max(a.size for a in (*ins, *outs))
    length = math.prod(params["fft_lengths"])
    return int(5 * points * math.log2(max(length, 1)))


def _sort(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    n = ins[0].shape[params["dimension"]] if ins[0].shape else 1
    return int(ins[0].size * math.ceil(math.log2(max(n, 1))))


def _powers(ins: _Avals, outs: _Avals, params: dict[str, Any]) -> int:
    return outs[0].size * max(2 * abs(params["y"]).bit_length() - 2, 1)


_COUNTS: dict[str, Callable[[_Avals, _Avals, dict[str, Any]], int]] = {
    "dot_general": _dot,
    "conv_general_dilated": _conv,
    "reduce_window_sum": _window,
    "reduce_window_max": _window,
    "reduce_window_min": _window,
    "cholesky": _matrices(1 / 3),
    "lu": _matrices(2 / 3),
    "solve": _solve,
    "inv": _matrices(2),
    "det": _matrices(2 / 3),
    "slogdet": _matrices(2 / 3),
    "cofactor": _matrices(24),  # by singular values, as the pseudoinverse
    "pinv": _matrices(24),
    "geqrf": _matrices(4 / 3),
    "householder_product": _matrices(4 / 3),
    "qr": _matrices(8 / 3),  # with Q as a matrix
    "eigh": _matrices(9),
    "eigvalsh": _matrices(4 / 3),
    "svd": _svd,
    "eig": _matrices(25),
    "schur": _matrices(25),
    "hessenberg": _matrices(10 / 3),
    "tridiagonal": _matrices(4 / 3),
    "triangular_solve": _triangular,
    "tridiagonal_solve": _tridiagonal_solve,
    "fft": _fft,
    "sort": _sort,
    "integer_pow": _powers,
    **dict.fromkeys(_SCATTERS, lambda ins, outs, params: ins[-1].size),
}
