"""`jet`: derivatives of any order along a curve, by propagating truncated power series."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..api.common import (
    check_callable,
    flatten_output,
    match_weak_type,
    name_of,
    to_array,
    unflatten_output,
)
from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..control import taylor as _control_flow  # noqa: F401  # its rules for loops and calls
from ..core import dtypes
from ..core.array import Array, ConcreteArray, as_array, scalar
from ..core.aval import Zero
from ..core.kinds import kind
from ..ops.arithmetic import mul_p
from ..ops.convert import convert_element_type
from ..ops.structural import zeros
from ..transforms import jet as _jet


def jet(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    factorial_scaled: bool = True,
) -> tuple[Any, Any]:
    """The value and the first derivatives by t of `fun` along a curve x(t), at t = 0.

    Of a curve given by its derivatives x(0), x'(0), x''(0), ..., the derivatives of fun(x(t)) at t = 0 to
    the same order. For x(t) = x + t v these are the directional derivatives of `fun`; they cost a small
    polynomial in the order (mostly its square), where nested forward mode costs an exponential.

    Args:
        fun: a function of arrays, numbers and pytrees of them, with outputs of inexact dtypes.
        primals: its arguments x(0), a tuple or list.
        series: for each argument the derivatives x'(0), x''(0), ..., x^(K)(0): a tuple or list of K terms,
            each with the structure and types of the argument. K is the same for all.
        factorial_scaled: whether terms are derivatives; with False they are coefficients of the powers of t
            (derivatives divided by k!), of arguments and results alike.

    Returns:
        A pair of fun(*primals) and a pytree of its structure that holds, in place of each array, the list of
        its K terms.

    Raises:
        TypeError, ValueError: arguments that do not fit each other (`DTypeError`, `ShapeError` and
            `StructureError` among them).
        NotDifferentiableError: an operation without derivatives meets a moving value.

    Source: Griewank & Walther, "Evaluating Derivatives" (2008), chapter 13; Bettencourt, Johnson & Duvenaud,
    "Taylor-mode automatic differentiation for higher-order derivatives in JAX" (2019).

    Example:
        >>> value, derivatives = jet(pnp.exp, (0.0,), ((1.0, 0.0, 0.0),))
        >>> print(value, *derivatives)
        1.0 1.0 1.0 1.0
    """
    check_callable("jet", fun)
    if not isinstance(primals, (tuple, list)) or not isinstance(series, (tuple, list)):
        raise TypeError(
            "jet expects tuples or lists as primals and series, one entry for each argument of "
            f"{name_of(fun)}; got {type(primals).__name__} and {type(series).__name__}"
        )
    if len(primals) != len(series):
        raise ValueError(
            f"jet: {len(primals)} primals need as many series; got {len(series)}. Give constant arguments "
            f"terms that "
            "are zero, or close over them."
        )
    orders = [len(_listed(terms, i)) for i, terms in enumerate(series)]
    if len(set(orders)) > 1:
        raise ValueError(f"jet: the series must have the same number of terms, but they have {orders}")
    order = orders[0] if orders else 0
    scales = [1.0] * order if not factorial_scaled else [math.factorial(k) for k in range(1, order + 1)]
    leaves, tree = pytree.flatten(tuple(primals))
    values = [to_array(v, f"jet: argument {i}") for i, v in enumerate(leaves)]
    columns = [_flat_term([terms[k] for terms in series], tree, k) for k in range(order)]
    terms: list[Any] = []
    for i, value in enumerate(values):
        _check_inexact(value, i)
        terms.append([_scaled(_term(columns[k][i], value, i, k), 1 / scales[k]) for k in range(order)])
    out_tree: Any = None

    def flat(*xs: Any) -> list[Any]:
        nonlocal out_tree
        outs, out_tree = flatten_output(fun(*pytree.unflatten(tree, xs)), f"the result of {name_of(fun)}")
        return outs

    outs, out_terms = _jet.jet(flat, values, terms, order)
    results = []
    for value, found in zip(outs, out_terms, strict=True):
        given = [Zero(value.aval)] * order if found is None else found
        scaled = [
            zeros(value.aval) if type(t) is Zero else _scaled(t, s)
            for t, s in zip(given, scales, strict=True)
        ]
        results.append([match_weak_type(t, value.aval) for t in scaled])
    return unflatten_output(out_tree, outs), unflatten_output(out_tree, results)


def _listed(terms: Any, i: int) -> Sequence[Any]:
    if not isinstance(terms, (tuple, list)):
        raise TypeError(
            f"jet: the series of argument {i} must be a tuple or list of terms (its first derivative, its "
            f"second, "
            f"...), got {type(terms).__name__}"
        )
    return terms


def _flat_term(terms: list[Any], tree: Any, k: int) -> list[Any]:
    leaves, found = pytree.flatten(tuple(terms))
    if found != tree:
        difference = pytree.explain_structure_difference(tree, found, "the arguments", f"terms {k}")
        raise StructureError(f"jet: each term must have the structure of its argument: {difference}")
    return leaves


def _check_inexact(value: Array, i: int) -> None:
    if kind(value.aval.dtype) not in "fc":
        raise DTypeError(
            f"jet: argument {i} is {value.aval.str_short()}; only floating-point and complex arguments "
            f"have power "
            "series. Convert it with .astype, or close over it."
        )


def _term(term: Any, value: Array, i: int, k: int) -> Any:
    aval = value.aval
    found = to_array(term, f"jet: term {k} of argument {i}")
    if found.aval.shape != aval.shape:
        raise ShapeError(
            f"jet: term {k} of argument {i} has shape {found.aval.shape}, the argument {aval.shape}; they "
            f"must agree"
        )
    if found.aval.dtype != aval.dtype:
        if not found.aval.weak_type or (kind(found.aval.dtype) == "c" and kind(aval.dtype) != "c"):
            raise DTypeError(
                f"jet: term {k} of argument {i} has dtype {dtypes.dtype_name(found.aval.dtype)}, the "
                f"argument "
                f"{dtypes.dtype_name(aval.dtype)}; convert the term with .astype"
            )
        found = as_array(convert_element_type(found, aval.dtype))
    # Zeros that are known cost nothing: along a line products have one term for each coefficient.
    return Zero(aval.tangent) if type(found) is ConcreteArray and not np.any(found._data) else found


def _scaled(term: Any, factor: float) -> Any:
    return term if factor == 1 or type(term) is Zero else mul_p.bind(term, scalar(factor, term.aval.dtype))
