"""`scatter` and its kind: combining windows into an array at computed places.

The general operation of XLA (https://openxla.org/xla/operation_semantics#scatter), with the index vectors
along the last dimension of the indices. Where several updates meet one element, `scatter` keeps the last
(in row-major order of the updates), all others combine. `scatter_add` and `gather` are each other's
transposes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .arithmetic import div_p, mul_p
from .compare import eq_p, select_n_p
from .complex import neg_p
from .families import check_kind, mismatch, operands
from .gather import GatherDimensionNumbers, GatherScatterMode, check_index_map, gather_p, int_tuple, shifted
from .iota import iota_p
from .joining import with_batch_dim
from .structural import add_any, full, instantiate, linear_coefficient, moveaxis, reshape, zeros

__all__ = [
    "ScatterDimensionNumbers",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]

Linear = rules.Linear


class ScatterDimensionNumbers(NamedTuple):
    """How a scatter's dimensions correspond.

    Attributes:
        update_window_dims: the updates' dimensions that run within a window, ascending.
        inserted_window_dims: the operand's dimensions, with window size 1, that the updates lack.
        scatter_dims_to_operand_dims: for each component of an index vector, the operand's dimension.
        operand_batching_dims: the operand's dimensions (window size 1) that run along with
        scatter_indices_batching_dims: those of the indices, in the same order.
    """

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


scatter_p = Primitive("scatter")
scatter_add_p = Primitive("scatter_add")
scatter_sub_p = Primitive("scatter_sub")
scatter_mul_p = Primitive("scatter_mul")
scatter_min_p = Primitive("scatter_min")
scatter_max_p = Primitive("scatter_max")

_KINDS = {
    scatter_p: "biufck",
    scatter_add_p: "iufc",
    scatter_sub_p: "iufc",
    scatter_mul_p: "iufc",
    scatter_min_p: "biufc",
    scatter_max_p: "biufc",
}


def _bind(
    primitive: Primitive,
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: str | GatherScatterMode | None,
) -> Array:
    operand, updates = operands(primitive.name, operand, updates)
    indices = as_array(scatter_indices, name=primitive.name)
    numbers = ScatterDimensionNumbers(*map(int_tuple, dimension_numbers))
    rules.abstract[primitive](operand.aval, indices.aval, updates.aval, dimension_numbers=numbers)
    return primitive.bind(
        operand,
        indices,
        updates,
        dimension_numbers=numbers,
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
    )


def _public(primitive: Primitive, name: str, what: str) -> Callable[..., Array]:
    def function(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | GatherScatterMode | None = None,
    ) -> Array:
        return _bind(
            primitive,
            operand,
            scatter_indices,
            updates,
            dimension_numbers,
            indices_are_sorted,
            unique_indices,
            mode,
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{what}

    Args:
        operand: the array to start from.
        scatter_indices: integers of shape [..., k]: index vectors of k components.
        updates: an array of the operand's dtype with the dimensions of `scatter_indices` but the last, and
            those of the window at `update_window_dims`.
        dimension_numbers: how the dimensions correspond.
        indices_are_sorted: the caller's promise that index vectors ascend.
        unique_indices: the caller's promise that no element is met twice.
        mode: what to do with windows that do not lie wholly within the operand (default: drop them).

    Raises:
        ShapeError, DTypeError: the operands and the dimension numbers do not fit together.
    """
    return function


scatter = _public(scatter_p, "scatter", "Replace windows of the operand by the updates (the last one wins).")
scatter_add = _public(scatter_add_p, "scatter_add", "Add the updates to windows of the operand.")
scatter_sub = _public(scatter_sub_p, "scatter_sub", "Subtract the updates from windows of the operand.")
scatter_mul = _public(scatter_mul_p, "scatter_mul", "Multiply windows of the operand by the updates.")
scatter_min = _public(scatter_min_p, "scatter_min", "The minima of windows of the operand and the updates.")
scatter_max = _public(scatter_max_p, "scatter_max", "The maxima of windows of the operand and the updates.")


# Shapes -------------------------------------------------------------------------------------------


def window_sizes(
    dimension_numbers: ScatterDimensionNumbers, rank: int, updates_shape: Sequence[int]
) -> list[int]:
    """The window's size along each dimension of the operand."""
    removed = {*dimension_numbers.inserted_window_dims, *dimension_numbers.operand_batching_dims}
    sizes = iter([updates_shape[d] for d in dimension_numbers.update_window_dims])
    return [1 if d in removed else next(sizes) for d in range(rank)]


def _scatter_abstract(
    name: str,
    accepts: str,
    x: ShapedArray,
    indices: ShapedArray,
    updates: ShapedArray,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> ShapedArray:
    window_dims, inserted, index_map, operand_batching, indices_batching = dimension_numbers
    check_kind(name, x.dtype, accepts)
    if x.dtype != updates.dtype:
        raise mismatch(name, [dtypes.dtype_name(x.dtype), dtypes.dtype_name(updates.dtype)])
    check_index_map(name, x, indices, index_map, inserted, operand_batching, indices_batching)
    expected = x.ndim - len(inserted) - len(operand_batching)
    if len(window_dims) != expected or tuple(sorted(set(window_dims))) != window_dims:
        raise ShapeError(
            f"{name}: a window of {expected} dimensions needs as many ascending update_window_dims; got "
            f"{window_dims}"
        )
    if any(not 0 <= d < updates.ndim for d in window_dims):
        raise ShapeError(
            f"{name}: update_window_dims {window_dims} do not exist in updates of shape {updates.shape}"
        )
    batch = tuple(s for d, s in enumerate(updates.shape) if d not in window_dims)
    if batch != indices.shape[:-1]:
        raise ShapeError(
            f"{name}: updates of shape {updates.shape} have the dimensions {batch} outside of the window; "
            f"the indices of shape {indices.shape} ask for {indices.shape[:-1]}"
        )
    sizes = window_sizes(dimension_numbers, x.ndim, updates.shape)
    removed = {*inserted, *operand_batching}
    if any(s > d for i, (s, d) in enumerate(zip(sizes, x.shape, strict=True)) if i not in removed):
        raise ShapeError(
            f"{name}: a window of sizes {tuple(sizes)} is larger than the operand of shape {x.shape}"
        )
    return shaped_array(x.shape, x.dtype, x.weak_type and updates.weak_type and indices.weak_type)


for _p, _accepts in _KINDS.items():
    rules.abstract[_p] = partial(_scatter_abstract, _p.name, _accepts)


# Batching -----------------------------------------------------------------------------------------


def _scatter_batch(
    primitive: Primitive,
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension_numbers: ScatterDimensionNumbers,
    indices_are_sorted: bool,
    **params: Any,
) -> tuple[Any, int]:
    x, indices, updates = values
    x_dim, indices_dim, updates_dim = dims
    window_dims, inserted, index_map, operand_batching, indices_batching = dimension_numbers
    x = with_batch_dim(x, x_dim, axis.size)
    updates = with_batch_dim(updates, updates_dim, axis.size)
    if indices_dim is None:
        # The same places in each example: the mapped dimension is one more dimension of the window.
        numbers = ScatterDimensionNumbers(
            (0, *shifted(window_dims)),
            shifted(inserted),
            shifted(index_map),
            shifted(operand_batching),
            indices_batching,
        )
    else:
        indices = moveaxis(indices, indices_dim, 0)
        indices_are_sorted = False
        numbers = ScatterDimensionNumbers(
            shifted(window_dims),
            shifted(inserted),
            shifted(index_map),
            (0, *shifted(operand_batching)),
            (0, *shifted(indices_batching)),
        )
    return primitive.bind(
        x, indices, updates, dimension_numbers=numbers, indices_are_sorted=indices_are_sorted, **params
    ), 0


for _p in _KINDS:
    rules.batch[_p] = partial(_scatter_batch, _p)


# Derivatives --------------------------------------------------------------------------------------


def _read(
    source: Any,
    indices: Any,
    updates_shape: tuple[int, ...],
    dimension_numbers: ScatterDimensionNumbers,
    mode: GatherScatterMode,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Any:
    """The elements of `source` that updates of this shape would meet; zero where they are dropped."""
    window_dims, inserted, index_map, operand_batching, indices_batching = dimension_numbers
    sizes = window_sizes(dimension_numbers, source.aval.ndim, updates_shape)
    for d in operand_batching:
        sizes[d] = min(1, source.aval.shape[d])
    numbers = GatherDimensionNumbers(window_dims, inserted, index_map, operand_batching, indices_batching)
    return gather_p.bind(
        source,
        indices,
        dimension_numbers=numbers,
        slice_sizes=tuple(sizes),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=mode,
        fill_value=0,
    )


def _gather_transpose(
    ct: Any,
    x: Any,
    indices: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    unique_indices: bool,
    indices_are_sorted: bool,
    mode: GatherScatterMode,
    fill_value: Any,
) -> list[Any]:
    numbers = ScatterDimensionNumbers(*dimension_numbers)
    out = scatter_add_p.bind(
        zeros(x.aval.strip_weak_type()),
        indices,
        ct,
        dimension_numbers=numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )
    return [out, None]


rules.transpose[gather_p] = _gather_transpose


def _linear_jvp(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    """scatter, scatter_add and scatter_sub are linear in operand and updates together."""
    x, indices, updates = primals
    out = primitive.bind(x, indices, updates, **params)
    tx, _, tu = tangents
    if type(tx) is Zero and type(tu) is Zero:
        return out, Zero(out.aval.tangent)
    if type(tu) is Zero and primitive is not scatter_p:
        return out, tx
    return out, primitive.bind(instantiate(tx), indices, instantiate(tu), **params)


def _accumulate_transpose(
    sign: int,
    ct: Any,
    x: Any,
    indices: Any,
    updates: Any,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: GatherScatterMode,
) -> list[Any]:
    updates_ct = None
    if type(updates) is Linear:
        updates_ct = _read(
            ct, indices, updates.aval.shape, dimension_numbers, mode, indices_are_sorted, unique_indices
        )
        if sign < 0:
            updates_ct = neg_p.bind(updates_ct)
    return [ct if type(x) is Linear else None, None, updates_ct]


def _scatter_transpose(
    ct: Any, x: Any, indices: Any, updates: Any, *, dimension_numbers: ScatterDimensionNumbers, **params: Any
) -> list[Any]:
    mode = params["mode"]
    shape = updates.aval.shape
    x_ct = updates_ct = None
    if type(x) is Linear:
        nothing = full(shape, 0, ct.aval.dtype)
        x_ct = scatter_p.bind(ct, indices, nothing, dimension_numbers=dimension_numbers, **params)
    if type(updates) is Linear:
        updates_ct = _read(ct, indices, shape, dimension_numbers, mode)
        if not params["unique_indices"]:
            # Only the update that won has a share: scatter numbers of updates, see whose number is there.
            size = updates.aval.size
            numbers = reshape(iota_p.bind(dtype=np.dtype(np.int32), shape=(size,), dimension=0), shape)
            nobody = full(ct.aval.shape, -1, np.dtype(np.int32))
            winners = scatter_p.bind(nobody, indices, numbers, dimension_numbers=dimension_numbers, **params)
            won = eq_p.bind(_read(winners, indices, shape, dimension_numbers, mode), numbers)
            updates_ct = select_n_p.bind(won, scalar(0, ct.aval.dtype), updates_ct)
    return [x_ct, None, updates_ct]


rules.jvp[scatter_p] = partial(_linear_jvp, scatter_p)
rules.coefficient[scatter_p] = linear_coefficient(scatter_p)
rules.jvp[scatter_add_p] = partial(_linear_jvp, scatter_add_p)
rules.coefficient[scatter_add_p] = linear_coefficient(scatter_add_p)
rules.jvp[scatter_sub_p] = partial(_linear_jvp, scatter_sub_p)
rules.coefficient[scatter_sub_p] = linear_coefficient(scatter_sub_p)
rules.transpose[scatter_p] = _scatter_transpose
rules.transpose[scatter_add_p] = partial(_accumulate_transpose, 1)
rules.transpose[scatter_sub_p] = partial(_accumulate_transpose, -1)


def _scatter_mul_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    x, indices, updates = primals
    tx, _, tu = tangents
    out = scatter_mul_p.bind(x, indices, updates, **params)
    total = None
    if type(tx) is not Zero:
        total = scatter_mul_p.bind(tx, indices, updates, **params)
    if type(tu) is not Zero:
        others = _product_of_others(x, indices, updates, params)
        base = zeros(out.aval.strip_weak_type())
        term = scatter_add_p.bind(base, indices, mul_p.bind(tu, others), **params)
        total = term if total is None else add_any(total, term)
    return out, Zero(out.aval.tangent) if total is None else total


def _product_of_others(x: Any, indices: Any, updates: Any, params: dict[str, Any]) -> Any:
    """For each update, the product of all other factors of the element that it meets."""
    numbers, mode = params["dimension_numbers"], params["mode"]
    shape = updates.aval.shape
    if params["unique_indices"]:
        return _read(x, indices, shape, numbers, mode)
    # Divide the whole product by the update. Where that is 0 / 0, the product of the nonzero factors is the
    # answer if this update is the only factor that is zero, and 0 is otherwise.
    dtype = x.aval.dtype
    zero, one = full((), 0, dtype), full((), 1, dtype)
    x_is_zero, update_is_zero = eq_p.bind(x, zero), eq_p.bind(updates, zero)
    nonzero = select_n_p.bind(update_is_zero, updates, one)
    product = scatter_mul_p.bind(select_n_p.bind(x_is_zero, x, one), indices, nonzero, **params)
    count = scatter_add_p.bind(
        select_n_p.bind(x_is_zero, zero, one), indices, select_n_p.bind(update_is_zero, zero, one), **params
    )
    count = _read(count, indices, shape, numbers, mode)
    quotient = div_p.bind(_read(product, indices, shape, numbers, mode), nonzero)
    alone = eq_p.bind(count, select_n_p.bind(update_is_zero, zero, one))
    return select_n_p.bind(alone, zero, quotient)


def _scatter_mul_transpose(
    ct: Any, x: Any, indices: Any, updates: Any, *, dimension_numbers: ScatterDimensionNumbers, **params: Any
) -> list[Any]:
    return [
        scatter_mul_p.bind(ct, indices, updates, dimension_numbers=dimension_numbers, **params),
        None,
        None,
    ]


rules.jvp[scatter_mul_p] = _scatter_mul_jvp
rules.transpose[scatter_mul_p] = _scatter_mul_transpose


def _extremum_jvp(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[Any, Any]:
    """The mean of the tangents of all that attain the extremum."""
    x, indices, updates = primals
    tx, _, tu = tangents
    out = primitive.bind(x, indices, updates, **params)
    if type(tx) is Zero and type(tu) is Zero:
        return out, Zero(out.aval.tangent)
    dtype = out.aval.dtype
    zero, one = full((), 0, dtype), full((), 1, dtype)
    met = _read(out, indices, updates.aval.shape, params["dimension_numbers"], params["mode"])
    x_attains = select_n_p.bind(eq_p.bind(x, out), zero, one)
    update_attains = select_n_p.bind(eq_p.bind(updates, met), zero, one)
    count = scatter_add_p.bind(x_attains, indices, update_attains, **params)
    total = zeros(out.aval.strip_weak_type()) if type(tx) is Zero else mul_p.bind(tx, x_attains)
    if type(tu) is not Zero:
        total = scatter_add_p.bind(total, indices, mul_p.bind(tu, update_attains), **params)
    return out, div_p.bind(total, count)


rules.jvp[scatter_min_p] = partial(_extremum_jvp, scatter_min_p)
rules.jvp[scatter_max_p] = partial(_extremum_jvp, scatter_max_p)
for _p in (scatter_min_p, scatter_max_p):
    rules.not_transposable[_p] = "it is not linear; its derivative is made of other operations"
