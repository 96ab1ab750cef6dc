"""`gather`: collecting windows of an array at computed places.

The general operation of XLA (https://openxla.org/xla/operation_semantics#gather), with the index vectors
along the last dimension of the indices. Its transpose, `scatter_add`, stands in `ops.scatter`.
"""

from __future__ import annotations

import enum
import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .structural import canonical_shape, linear_coefficient, moveaxis

__all__ = ["GatherDimensionNumbers", "GatherScatterMode", "gather"]


class GatherScatterMode(enum.Enum):
    """What gather and scatter do with windows that do not lie wholly within the operand.

    CLIP moves them inside. FILL_OR_DROP gathers the fill value, and drops updates. PROMISE_IN_BOUNDS is the
    caller's promise that there are none (a broken promise is treated as CLIP).
    """

    CLIP = enum.auto()
    FILL_OR_DROP = enum.auto()
    PROMISE_IN_BOUNDS = enum.auto()

    @staticmethod
    def from_any(mode: str | GatherScatterMode | None) -> GatherScatterMode:
        """The mode meant by a mode or its name ("clip", "fill", "drop", "promise_in_bounds").

        Raises:
            ValueError: an unknown name.
        """
        if isinstance(mode, GatherScatterMode):
            return mode
        if mode is None or mode in ("fill", "drop"):
            return GatherScatterMode.FILL_OR_DROP
        if mode == "clip":
            return GatherScatterMode.CLIP
        if mode == "promise_in_bounds":
            return GatherScatterMode.PROMISE_IN_BOUNDS
        raise ValueError(f'unknown mode {mode!r}; expected "clip", "fill", "drop" or "promise_in_bounds"')


class GatherDimensionNumbers(NamedTuple):
    """How a gather's dimensions correspond.

    Attributes:
        offset_dims: the result's dimensions that run within a window, ascending.
        collapsed_slice_dims: the operand's dimensions, with window size 1, that the result lacks.
        start_index_map: for each component of an index vector, the operand's dimension that it indexes.
        operand_batching_dims: the operand's dimensions (window size 1) that run along with
        start_indices_batching_dims: those of the indices, in the same order.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


def int_tuple(values: Any) -> tuple[int, ...]:
    return tuple(map(operator.index, values))


gather_p = Primitive("gather")


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value: Any = None,
) -> Array:
    """Collect windows of `slice_sizes` that start at `start_indices`.

    Args:
        operand: the array to read.
        start_indices: integers of shape [..., k]: index vectors of k components.
        dimension_numbers: how the dimensions correspond.
        slice_sizes: the window's size along each dimension of the operand.
        unique_indices: the caller's promise that no element is read twice.
        indices_are_sorted: the caller's promise that index vectors ascend.
        mode: what to do with windows outside of the operand (default: fill).
        fill_value: the number for elements outside (default: NaN; the smallest signed or largest unsigned
            integer; True).

    Returns:
        An array with the dimensions of `start_indices` but the last, and the window's at `offset_dims`.

    Raises:
        ShapeError, DTypeError: the dimension numbers do not fit the operands.
    """
    dims = GatherDimensionNumbers(*map(int_tuple, dimension_numbers))
    parsed = GatherScatterMode.from_any(mode)
    if parsed is not GatherScatterMode.FILL_OR_DROP:
        fill_value = None
    elif fill_value is not None and not isinstance(fill_value, (bool, int, float, complex)):
        fill_value = fill_value.item()
    x = as_array(operand, name="gather")
    indices = as_array(start_indices, name="gather")
    sizes = canonical_shape(slice_sizes)
    _gather_abstract(x.aval, indices.aval, dimension_numbers=dims, slice_sizes=sizes)
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=dims,
        slice_sizes=sizes,
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=parsed,
        fill_value=fill_value,
    )


def check_index_map(
    name: str,
    operand: ShapedArray,
    indices: ShapedArray,
    index_map: tuple[int, ...],
    removed: tuple[int, ...],
    operand_batching: tuple[int, ...],
    indices_batching: tuple[int, ...],
) -> None:
    """What gather and scatter ask of their dimension numbers alike."""
    if kind(indices.dtype) not in "iu":
        raise DTypeError(f"{name}: indices must be integers; got {dtypes.dtype_name(indices.dtype)}")
    if indices.ndim < 1:
        raise ShapeError(
            f"{name}: indices need a last dimension that holds the index vectors; got a scalar (for single "
            "indices append a dimension of size 1)"
        )
    if indices.shape[-1] != len(index_map):
        raise ShapeError(
            f"{name}: index vectors of {indices.shape[-1]} components (indices of shape {indices.shape}) "
            f"need as many dimensions in the index map; got {index_map}"
        )
    used = (*removed, *operand_batching)
    groups = {
        "index map": index_map,
        "collapsed or inserted dimensions and batching dimensions": used,
        "indexed and batching dimensions": (*index_map, *operand_batching),
    }
    for what, group in groups.items():
        if len(set(group)) != len(group) or any(not 0 <= d < operand.ndim for d in group):
            raise ShapeError(
                f"{name}: {what} {group} are not distinct dimensions of an operand of shape {operand.shape}"
            )
    if len(operand_batching) != len(indices_batching):
        raise ShapeError(
            f"{name}: as many batching dimensions of the operand as of the indices are needed; got "
            f"{operand_batching} and {indices_batching}"
        )
    if len(set(indices_batching)) != len(indices_batching) or any(
        not 0 <= d < indices.ndim - 1 for d in indices_batching
    ):
        raise ShapeError(
            f"{name}: batching dimensions {indices_batching} are not distinct dimensions (other than the "
            f"last) of indices of shape {indices.shape}"
        )
    for o, i in zip(operand_batching, indices_batching, strict=True):
        if operand.shape[o] != indices.shape[i]:
            raise ShapeError(
                f"{name}: batching dimension {o} of the operand has size {operand.shape[o]}, its counterpart "
                f"{i} of the indices has {indices.shape[i]}"
            )


def _gather_abstract(
    x: ShapedArray,
    indices: ShapedArray,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    **params: Any,
) -> ShapedArray:
    offset_dims, collapsed, index_map, operand_batching, indices_batching = dimension_numbers
    check_index_map("gather", x, indices, index_map, collapsed, operand_batching, indices_batching)
    if len(slice_sizes) != x.ndim:
        raise ShapeError(
            f"gather: an operand of shape {x.shape} needs {x.ndim} slice sizes; got {slice_sizes}"
        )
    if any(not 0 <= s <= d for s, d in zip(slice_sizes, x.shape, strict=True)):
        raise ShapeError(
            f"gather: slice sizes {slice_sizes} must lie between 0 and the operand's shape {x.shape}"
        )
    removed = {*collapsed, *operand_batching}
    if any(slice_sizes[d] > 1 for d in removed):
        raise ShapeError(f"gather: collapsed and batching dimensions need slice size 1; got {slice_sizes}")
    window = iter([s for d, s in enumerate(slice_sizes) if d not in removed])
    rank = indices.ndim - 1 + x.ndim - len(removed)
    expected = x.ndim - len(removed)
    if len(offset_dims) != expected or any(not 0 <= d < rank for d in offset_dims):
        raise ShapeError(
            f"gather: a window of {expected} dimensions needs as many offset_dims within a result of "
            f"{rank}; got {offset_dims}"
        )
    if any(a >= b for a, b in itertools.pairwise(offset_dims)):
        raise ShapeError(f"gather: offset_dims must ascend; got {offset_dims}")
    batch = iter(indices.shape[:-1])
    inside = set(offset_dims)
    shape = tuple(next(window) if d in inside else next(batch) for d in range(rank))
    return shaped_array(shape, x.dtype, x.weak_type and indices.weak_type)


def _gather_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, fill_value: Any, **params: Any
) -> tuple[Any, Any]:
    x, indices = primals
    out = gather_p.bind(x, indices, fill_value=fill_value, **params)
    t = tangents[0]
    if type(t) is Zero:
        return out, Zero(out.aval.tangent)
    return out, gather_p.bind(t, indices, fill_value=0, **params)


def _gather_batch(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    unique_indices: bool,
    indices_are_sorted: bool,
    **params: Any,
) -> tuple[Any, int]:
    x, indices = values
    x_dim, indices_dim = dims
    offset_dims, collapsed, index_map, operand_batching, indices_batching = dimension_numbers
    if x_dim is not None:
        x = moveaxis(x, x_dim, 0)
        collapsed, index_map = shifted(collapsed), shifted(index_map)
        operand_batching = shifted(operand_batching)
    if indices_dim is None:
        # The mapped dimension of the operand is one more dimension of the window, whole.
        offset_dims = (0, *shifted(offset_dims))
        slice_sizes = (axis.size, *slice_sizes)
    else:
        indices = moveaxis(indices, indices_dim, 0)
        offset_dims, indices_batching = shifted(offset_dims), shifted(indices_batching)
        indices_are_sorted = False
        if x_dim is None:
            unique_indices = False  # examples may read the same elements
        else:
            operand_batching, indices_batching = (0, *operand_batching), (0, *indices_batching)
            slice_sizes = (min(1, axis.size), *slice_sizes)
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=GatherDimensionNumbers(
            offset_dims, collapsed, index_map, operand_batching, indices_batching
        ),
        slice_sizes=slice_sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        **params,
    ), 0


def shifted(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions after one has been put before all."""
    return tuple(d + 1 for d in dims)


rules.abstract[gather_p] = _gather_abstract
rules.jvp[gather_p] = _gather_jvp
rules.coefficient[gather_p] = linear_coefficient(gather_p)
rules.batch[gather_p] = _gather_batch
