"""The trace and the diagonal of Hessians by random probes, and exactly where that is as cheap.

A product of the Hessian with a vector costs a small multiple of a gradient; the Hessian itself costs one for
each dimension. For a probe z of random signs z'Hz has the mean tr H (Hutchinson 1990), and z * Hz the mean
diag H (Bekas, Kokiopoulou & Saad 2007). Hutch++ (Meyer, Musco, Musco & Woodruff 2021; for diagonals Baston &
Nakatsukasa 2022) finds the range of the largest eigenvalues with a third of the products, treats it exactly,
and probes what is left.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..api.common import Selected, check_callable, name_of, wraps
from ..api.grad import grad
from ..api.vmap import vmap
from ..base import pytree
from ..base.errors import DTypeError
from ..control.map import map as chunked_map
from ..core import dtypes
from ..core.aval import ShapedArray
from ..core.kinds import kind
from ..lib.numpy.linalg import qr
from ..lib.random.continuous import rademacher
from ..lib.random.keys import split as split_key
from ..ops.arithmetic import add, div, mul, square, sub
from ..ops.compare import eq
from ..ops.convert import convert_element_type, stop_gradient_array
from ..ops.dot import matmul
from ..ops.iota import iota
from ..ops.joining import concatenate
from ..ops.joining import slice as slice_array
from ..ops.structural import full, instantiate, reduce_sum_p, reshape, transpose
from ..ops.transcendental import sqrt
from ..transforms.diagonal import diagonal_coefficients, diagonal_outputs
from ..transforms.linearize import LinearMap, linearize, push_forward
from ..transforms.simplify import outputs_only

METHODS = ("auto", "hutchinson", "hutch++", "exact")
_LEAST_FOR_SKETCH = 6


class Estimate:
    """An estimate, a pytree of `estimate` and `error`.

    Attributes:
        estimate: the value: a scalar for a trace, a pytree of the argument's structure for a diagonal.
        error: its standard error, of the same structure; zero if it is exact.
        exact: whether it is no estimate but the value itself.
    """

    __slots__ = ("estimate", "error", "exact")

    def __init__(self, estimate: Any, error: Any, exact: bool) -> None:
        self.estimate = estimate
        self.error = error
        self.exact = exact

    def __repr__(self) -> str:
        return f"Estimate(estimate={self.estimate}, error={self.error}, exact={self.exact})"


pytree.register_pytree_node(
    Estimate,
    lambda e: ((e.estimate, e.error), e.exact),
    lambda exact, children: Estimate(children[0], children[1], exact),
)


def hessian_trace(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    probes: int = 30,
    method: str = "auto",
    batch_size: int | None = None,
) -> Callable[..., Estimate]:
    """A function that estimates the trace of the Hessian of `fun` with random probes.

    Args:
        fun: a real-valued function that returns a scalar.
        argnums: the argument (or arguments) by which to differentiate: pytrees of floating-point arrays. With
            several the trace is that of the whole Hessian, the sum over all of them.
        probes: how many products with the Hessian to spend.
        method: "hutchinson" (random signs), "hutch++" (a third of the products find the largest
            eigenvalues, whose part is exact; at least 6 probes), "exact" (one product for each dimension), or
            "auto": exact where that costs no more than the probes, and "hutch++" otherwise, for fewer than 6
            probes "hutchinson".
        batch_size: how many products to compute at once, which bounds the memory; all by default.

    Returns:
        A function (key, *args, **kwargs) -> Estimate. Parts of the Hessian that are known to be diagonal
        (functions that act entry by entry, and are then summed) are exact with every method and cost no
        products.

    Derivatives of an estimate estimate those of the trace; those of "hutch++" hold its subspace fixed, which
    keeps them free of bias.

    Raises:
        TypeError, ValueError: a function that is not scalar or real, complex arguments, too few probes, an
            unknown method.

    Example:
        >>> import pullback as pb, pullback.numpy as pnp
        >>> quartic = lambda x: pnp.sum(x) ** 4
        >>> found = pb.hessian_trace(quartic, method="exact")(pb.random.key(0), pnp.ones(3))
        >>> print(found.estimate)
        324.0
    """
    plan = _Plan("hessian_trace", fun, argnums, probes, method, batch_size)

    @wraps(fun, "hessian_trace")
    def trace(key: Any, *args: Any, **kwargs: Any) -> Estimate:
        problem = _Problem(plan, args, kwargs)
        value, error, exact = problem.trace(key)
        return Estimate(value, error, exact)

    return trace


def hessian_diagonal(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    probes: int = 30,
    method: str = "auto",
    batch_size: int | None = None,
) -> Callable[..., Estimate]:
    """A function that estimates the diagonal of the Hessian of `fun` with random probes.

    Arguments, methods and errors as for `hessian_trace`; estimate and error have the structure of the
    argument (or, with several `argnums`, are tuples of such).
    """
    plan = _Plan("hessian_diagonal", fun, argnums, probes, method, batch_size)

    @wraps(fun, "hessian_diagonal")
    def diagonal(key: Any, *args: Any, **kwargs: Any) -> Estimate:
        problem = _Problem(plan, args, kwargs)
        values, errors, exact = problem.diagonal(key)
        return Estimate(problem.selected.unflatten(values), problem.selected.unflatten(errors), exact)

    return diagonal


class _Plan:
    """What is asked for, checked."""

    def __init__(
        self, name: str, fun: Callable[..., Any], argnums: Any, probes: Any, method: str, batch_size: Any
    ) -> None:
        check_callable(name, fun)
        self.name = name
        self.fun = fun
        self.argnums = argnums
        self.probes = _count(name, "probes", probes, 2)
        self.batch_size = None if batch_size is None else _count(name, "batch_size", batch_size, 1)
        if method not in METHODS:
            raise ValueError(f"{name}: method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
        if method == "hutch++" and self.probes < _LEAST_FOR_SKETCH:
            raise ValueError(
                f"{name}: hutch++ needs at least {_LEAST_FOR_SKETCH} probes (a third each for the subspace, "
                f"its exact part and the rest), got {self.probes}; use method='hutchinson'"
            )
        self.method = method

    def resolve(self, size: int) -> str:
        if self.method != "auto":
            return self.method
        if size <= self.probes:
            return "exact"
        return "hutch++" if self.probes >= _LEAST_FOR_SKETCH else "hutchinson"


def _count(name: str, what: str, value: Any, least: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {what} must be an integer known before tracing, got {value!r}") from None
    if count < least:
        raise ValueError(f"{name}: {what} must be at least {least}, got {count}")
    return count


class _Problem:
    """A Hessian at a point, linearized once: its diagonal parts, and products with the rest."""

    def __init__(self, plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.plan = plan
        self.selected = selected = Selected(plan.name, plan.argnums, args, kwargs)
        for i, leaf in enumerate(selected.leaves):
            if kind(leaf.aval.dtype) != "f":
                raise DTypeError(
                    f"{plan.name}: argument {selected.position(i)} of {name_of(plan.fun)} is "
                    f"{leaf.aval.str_short()}; the Hessian is that by floating-point arguments. Convert it "
                    f"with "
                    ".astype, differentiate by real and imaginary parts, or choose other argnums."
                )
        if not selected.leaves:
            raise ValueError(f"{plan.name}: the argument by which to differentiate has no arrays")
        self.avals: list[ShapedArray] = [v.aval for v in selected.leaves]
        count = len(self.avals)
        gradient = grad(lambda *leaves: selected.call(plan.fun, leaves), tuple(range(count)))
        _, self.map = linearize(lambda *leaves: list(gradient(*leaves)), selected.leaves)
        self.known, self.rest = _parts(self.map)
        self.dtype = dtypes.result_type(*[a.dtype for a in self.avals])
        self.size = sum(self.avals[i].size for i in self.rest)

    # Products -----------------------------------------------------------------------------------

    def product(self, vector: Any) -> Any:
        """The product of the part that is not known to be diagonal with a vector."""
        tangents = [full(a.shape, 0, a.dtype) for a in self.avals]
        offset = 0
        for i in self.rest:
            aval = self.avals[i]
            part = reshape(slice_array(vector, (offset,), (offset + aval.size,)), aval.shape)
            tangents[i] = convert_element_type(part, aval.dtype)
            offset += aval.size
        outs = [n for n, nz in enumerate(self.map.out_nonzero) if nz]
        program = outputs_only(self.map.program, tuple(outs.index(i) for i in self.rest))
        found = push_forward(program, self.map.residuals, tangents)
        return self.flat([instantiate(f) for f in found])

    def flat(self, leaves: Sequence[Any]) -> Any:
        """Arrays of the rest as one vector."""
        vectors = [convert_element_type(reshape(v, (v.aval.size,)), self.dtype) for v in leaves]
        return concatenate(vectors, 0) if len(vectors) > 1 else vectors[0]

    def products(self, rows: Any) -> Any:
        """The products with the rows of a matrix."""
        size = self.plan.batch_size
        if size is None or size >= rows.aval.shape[0]:
            return vmap(self.product)(rows)
        return chunked_map(self.product, rows, batch_size=size)

    def signs(self, key: Any, count: int) -> Any:
        return rademacher(key, (count, self.size), self.dtype)

    def subspace(self, key: Any, count: int) -> tuple[Any, Any]:
        """Orthonormal rows that span most of the range of the Hessian, and their products."""
        sketch = stop_gradient_array(self.products(self.signs(key, count)))
        basis = stop_gradient_array(transpose(qr(transpose(sketch, (1, 0)))[0], (1, 0)))
        return basis, self.products(basis)

    # Results ------------------------------------------------------------------------------------

    def trace(self, key: Any) -> tuple[Any, Any, bool]:
        total: Any = full((), 0, self.dtype)
        for values in self.known.values():
            term = convert_element_type(_total(values), self.dtype)
            total = add(total, term)
        nothing = full((), 0, self.dtype)
        if not self.size:
            return total, nothing, True
        method = self.plan.resolve(self.size)
        if method == "exact":
            return add(total, _total(self.exact_diagonal())), nothing, True
        samples = self.plan.probes
        if method == "hutch++":
            first, key = split_key(key)
            basis, products = self.subspace(first, self.plan.probes // 3)
            total = add(total, _total(mul(basis, products)))
            samples -= 2 * (self.plan.probes // 3)
            z = self.signs(key, samples)
            z = sub(z, matmul(matmul(z, transpose(basis, (1, 0))), basis))
        else:
            z = self.signs(key, samples)
        values = reduce_sum_p.bind(mul(z, self.products(z)), axes=(1,))
        mean, error = _mean(values)
        return add(total, mean), error, False

    def diagonal(self, key: Any) -> tuple[list[Any], list[Any], bool]:
        method = self.plan.resolve(self.size)
        zero = full((self.size,), 0, self.dtype)
        if not self.size or method == "exact":
            values = self.exact_diagonal() if self.size else zero
            return self.unflatten(values, self.known), self.unflatten(zero, {}), True
        samples, start = self.plan.probes, zero
        if method == "hutch++":
            first, key = split_key(key)
            basis, products = self.subspace(first, self.plan.probes // 3)
            start = reduce_sum_p.bind(mul(basis, products), axes=(0,))
            samples -= 2 * (self.plan.probes // 3)
            z = self.signs(key, samples)
            rest = self.products(z)
            rest = sub(rest, matmul(matmul(rest, transpose(basis, (1, 0))), basis))
        else:
            z = self.signs(key, samples)
            rest = self.products(z)
        mean, error = _mean(mul(z, rest))
        return self.unflatten(add(start, mean), self.known), self.unflatten(error, {}), False

    def exact_diagonal(self) -> Any:
        """The diagonal of the rest by one product for each dimension."""
        n = self.size

        def entry(i: Any) -> Any:
            unit = convert_element_type(eq(iota(np.dtype(np.int32), n), i), self.dtype)
            return reduce_sum_p.bind(mul(self.product(unit), unit), axes=(0,))

        indices = iota(np.dtype(np.int32), n)
        size = self.plan.batch_size
        if size is None or size >= n:
            return vmap(entry)(indices)
        return chunked_map(entry, indices, batch_size=size)

    def unflatten(self, vector: Any, known: dict[int, Any]) -> list[Any]:
        """For each leaf its part of the vector, what is known, or zeros."""
        out: list[Any] = []
        offset = 0
        for i, aval in enumerate(self.avals):
            if i in self.rest:
                part = reshape(slice_array(vector, (offset,), (offset + aval.size,)), aval.shape)
                out.append(convert_element_type(part, aval.dtype))
                offset += aval.size
            else:
                out.append(known.get(i, full(aval.shape, 0, aval.dtype)))
        return out


def _parts(derivative: LinearMap) -> tuple[dict[int, Any], list[int]]:
    """Diagonals that are known without products, by leaf, and the leaves of the rest."""
    positions = [i for i, nz in enumerate(derivative.out_nonzero) if nz]
    source = diagonal_outputs(derivative.program)
    coefficients = iter(
        diagonal_coefficients(derivative.program, derivative.residuals)
        if any(s is not None for s in source)
        else ()
    )
    known: dict[int, Any] = {}
    rest = []
    for i, s in zip(positions, source, strict=True):
        if s is None:
            rest.append(i)
        else:
            found = next(coefficients)
            # A gradient that is a multiple of another leaf has nothing on the diagonal.
            if s == i:
                known[i] = found
    return known, rest


def _total(x: Any) -> Any:
    return reduce_sum_p.bind(x, axes=tuple(range(x.aval.ndim)))


def _mean(samples: Any) -> tuple[Any, Any]:
    """The mean along the first dimension, and its standard error."""
    count = samples.aval.shape[0]
    mean = div(reduce_sum_p.bind(samples, axes=(0,)), float(count))
    deviations = sub(samples, reshape(mean, (1, *mean.aval.shape)))
    variance = div(reduce_sum_p.bind(square(deviations), axes=(0,)), float((count - 1) * count))
    return mean, stop_gradient_array(sqrt(stop_gradient_array(variance)))
