"""`reduce` and `reduce_window` with any associative computation.

A computation that is one of the usual operations becomes the primitive of that reduction. Any other is
applied to pairs of neighbours, in log2(n) rounds over the whole array, or to each window's elements in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core.array import Array, ConcreteArray, as_array
from ..core.evaluate import evaluate
from ..core.kinds import kind
from ..core.primitive import Primitive
from ..core.program import Program
from ..ops.arithmetic import add_p, and_p, max_p, min_p, mul_p, or_p, xor_p
from ..ops.compare import select_n_p
from ..ops.conv_shapes import padtype_to_pads
from ..ops.joining import concatenate, pad
from ..ops.joining import slice as static_slice
from ..ops.reduction import (
    canonical_axes,
    reduce_and_p,
    reduce_max_p,
    reduce_min_p,
    reduce_or_p,
    reduce_prod_p,
    reduce_xor_p,
)
from ..ops.structural import broadcast_to, full, reduce_sum_p, reshape, transpose
from ..ops.windows import (
    Windows,
    check_windows,
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_sum_p,
)
from ..transforms.batch import Axis, batch
from .common import Staged, stage_flat

__all__ = ["reduce", "reduce_window"]

# operation -> (the reduction by it, the reduction of windows by it)
_NAMED: dict[Primitive, tuple[Primitive, Primitive | None]] = {
    add_p: (reduce_sum_p, reduce_window_sum_p),
    max_p: (reduce_max_p, reduce_window_max_p),
    min_p: (reduce_min_p, reduce_window_min_p),
    mul_p: (reduce_prod_p, None),
    and_p: (reduce_and_p, None),
    or_p: (reduce_or_p, None),
    xor_p: (reduce_xor_p, None),
}


def _arguments(name: str, operands: Any, init_values: Any) -> tuple[list[Any], list[Any], pytree.TreeSpec]:
    leaves, tree = pytree.flatten(operands)
    inits, init_tree = pytree.flatten(init_values)
    if tree != init_tree:
        difference = pytree.explain_structure_difference(operands, init_values, "the operands", "init_values")
        raise StructureError(f"{name}: init_values must have the structure of the operands: {difference}")
    if not leaves:
        raise ValueError(f"{name} needs at least one operand")
    arrays = [as_array(x, name=name) for x in leaves]
    starts = []
    for array, init in zip(arrays, inits, strict=True):
        start = as_array(init, name=name)
        if isinstance(init, (bool, int, float, complex)) and not isinstance(init, np.generic):
            start = as_array(np.asarray(init, array.aval.dtype))
        if start.aval.shape:
            raise ShapeError(f"{name}: init_values must be scalars; got shape {start.aval.shape}")
        if start.aval.dtype != array.aval.dtype:
            raise DTypeError(
                f"{name}: an operand and its initial value must have one dtype; got {array.aval.str_short()} "
                f"and {start.aval.str_short()}"
            )
        if array.aval.shape != arrays[0].aval.shape:
            raise ShapeError(
                f"{name}: operands must have one shape; got {arrays[0].aval.shape}, {array.aval.shape}"
            )
        starts.append(start)
    return arrays, starts, tree


def _computation(
    name: str, computation: Callable[..., Any], starts: Sequence[Any], tree: pytree.TreeSpec
) -> Staged:
    example = pytree.unflatten(tree, range(tree.num_leaves))
    _, in_tree = pytree.flatten((example, example))
    avals = [s.aval.strip_weak_type() for s in starts]
    staged = stage_flat(computation, in_tree, avals + avals, name)
    found = [a.strip_weak_type() for a in staged.out_avals]
    if found != avals:
        raise ShapeError(
            f"{name}: the computation must return what it is given, {[a.str_short() for a in avals]}; it "
            f"returns {[a.str_short() for a in found]}"
        )
    return staged


def _single_operation(program: Program) -> Primitive | None:
    """The operation, if the program of two scalars is just one of the named ones."""
    if len(program.eqns) != 1 or len(program.invars) != 2:
        return None
    (eqn,) = program.eqns
    if set(eqn.invars) != set(program.invars) or list(program.outvars) != list(eqn.outvars):
        return None
    return eqn.primitive if eqn.primitive in _NAMED else None


def _pairwise(staged: Staged) -> Callable[[list[Any], list[Any]], list[Any]]:
    """The computation on two lists of arrays of one shape, elementwise."""

    def apply(left: list[Any], right: list[Any]) -> list[Any]:
        shape = left[0].aval.shape
        size = left[0].aval.size
        flat = [reshape(v, (size,)) for v in (*left, *right)]
        outs, dims = batch(
            lambda *xs: evaluate(staged.program, [*staged.consts, *xs]), Axis(size), flat, [0] * len(flat)
        )
        return [
            broadcast_to(o, shape) if d is None else reshape(o, shape)
            for o, d in zip(outs, dims, strict=True)
        ]

    return apply


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: None = None,
) -> Any:
    """Reduce arrays over `dimensions` with any associative computation.

    Args:
        operands: a pytree of arrays of one shape.
        init_values: a pytree of the same structure: scalars with which the reduction starts.
        computation: an associative function of two such pytrees of scalars.
        dimensions: the dimensions to reduce (of none, the operands are returned).
        out_sharding: only None.

    Returns:
        A pytree of the structure of the operands.
    """
    if out_sharding is not None:
        raise NotImplementedError("reduce: out_sharding is for several devices; leave it None")
    arrays, starts, tree = _arguments("reduce", operands, init_values)
    staged = _computation("reduce", computation, starts, tree)
    axes = canonical_axes(dimensions, arrays[0].aval.ndim)
    if not axes:
        return pytree.unflatten(tree, arrays)  # as in JAX: nothing is reduced, nor started
    operation = _single_operation(staged.program)
    if operation is not None:
        result = operation.bind(starts[0], _NAMED[operation][0].bind(arrays[0], axes=axes))
        return pytree.unflatten(tree, [result])
    shape = arrays[0].aval.shape
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    out_shape = tuple(shape[i] for i in kept)
    count = int(np.prod([shape[i] for i in axes]))
    values = [reshape(transpose(x, (*axes, *kept)), (count, *out_shape)) for x in arrays]
    apply = _pairwise(staged)
    while count > 1:
        even = count - count % 2
        left, right, rest = (
            [_rows(v, *part) for v in values] for part in ((0, even, 2), (1, even, 2), (even, count, 1))
        )
        values = apply(left, right)
        if count % 2:
            values = [concatenate([v, r], 0) for v, r in zip(values, rest, strict=True)]
        count = even // 2 + count % 2
    firsts = [broadcast_to(s, out_shape) for s in starts]
    if count:
        firsts = apply(firsts, [reshape(v, out_shape) for v in values])
    return pytree.unflatten(tree, firsts)


def _rows(x: Any, start: int, stop: int, step: int) -> Array:
    shape = x.aval.shape
    return static_slice(
        x, (min(start, stop), *[0] * (len(shape) - 1)), (stop, *shape[1:]), (step, *[1] * (len(shape) - 1))
    )


# reduce_window ------------------------------------------------------------------------------------


def _windows(
    shape: tuple[int, ...],
    dimensions: Any,
    strides: Any,
    padding: Any,
    base_dilation: Any,
    window_dilation: Any,
) -> Windows:
    ones = (1,) * len(shape)
    sizes = tuple(int(d) for d in dimensions)
    steps = ones if strides is None else tuple(int(s) for s in strides)
    base = ones if base_dilation is None else tuple(int(d) for d in base_dilation)
    spread = ones if window_dilation is None else tuple(int(d) for d in window_dilation)
    if isinstance(padding, str):
        spanned = [b * (n - 1) + 1 if n else 0 for n, b in zip(shape, base, strict=True)]
        extent = [w * (k - 1) + 1 for k, w in zip(sizes, spread, strict=True)]
        padding = padtype_to_pads(spanned, extent, steps, padding)
    return Windows(sizes, steps, tuple((int(lo), int(hi)) for lo, hi in padding), base, spread)


def _is_neutral(operation: Primitive, start: Any) -> bool:
    """Whether an initial value is known not to change the results."""
    if type(start) is not ConcreteArray:
        return False
    value = start._data
    if operation is add_p:
        return bool(value == 0)
    if kind(start.aval.dtype) == "f":
        return bool(value == (-np.inf if operation is max_p else np.inf))
    if kind(start.aval.dtype) == "b":
        return bool(value == (operation is min_p))
    info = np.iinfo(start.aval.dtype)
    return bool(value == (info.min if operation is max_p else info.max))


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[[Any, Any], Any],
    window_dimensions: Any,
    window_strides: Any = None,
    padding: Any = "VALID",
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> Any:
    """Reduce sliding windows of arrays with any associative computation: pooling.

    Args:
        operand: an array, or a pytree of arrays of one shape.
        init_value: a pytree of the same structure: scalars with which each window starts. The padding does
            not count.
        computation: an associative function of two such pytrees of scalars.
        window_dimensions: the window's size along each dimension.
        window_strides: how far apart windows start (default: 1).
        padding: "VALID", "SAME", "SAME_LOWER", or for each dimension a pair (low, high).
        base_dilation: how far apart the operand's elements are spread (default: 1); what is between does not
            count.
        window_dilation: how far apart a window's elements are (default: 1).

    Returns:
        A pytree of arrays with an element for each window.
    """
    arrays, starts, tree = _arguments("reduce_window", operand, init_value)
    shape = arrays[0].aval.shape
    if len(tuple(window_dimensions)) != len(shape):
        raise ShapeError(
            f"reduce_window: window_dimensions {tuple(window_dimensions)} must have {len(shape)} entries for "
            f"an operand of shape {shape}"
        )
    windows = _windows(shape, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    check_windows("reduce_window", arrays[0].aval, windows)
    staged = _computation("reduce_window", computation, starts, tree)
    operation = _single_operation(staged.program)
    named = None if operation is None else _NAMED[operation][1]
    accepted = "iufc" if operation is add_p else "iuf"
    if operation is not None and named is not None and kind(arrays[0].aval.dtype) in accepted:
        result = named.bind(arrays[0], windows=windows)
        if not _is_neutral(operation, starts[0]):
            result = operation.bind(starts[0], result)
        return pytree.unflatten(tree, [result])
    config = [(lo, hi, b - 1) for (lo, hi), b in zip(windows.padding, windows.base_dilation, strict=True)]
    padded = [pad(x, s, config) for x, s in zip(arrays, starts, strict=True)]
    inside = pad(full(shape, True), False, config)
    counts = windows.counts(shape)
    apply = _pairwise(staged)
    values = [broadcast_to(s, counts) for s in starts]
    if 0 in counts:
        return pytree.unflatten(tree, values)
    for offset in itertools.product(*(range(k) for k in windows.dimensions)):
        begin = [o * w for o, w in zip(offset, windows.window_dilation, strict=True)]
        end = [b + s * (c - 1) + 1 for b, s, c in zip(begin, windows.strides, counts, strict=True)]
        combined = apply(values, [static_slice(p, begin, end, windows.strides) for p in padded])
        counted = static_slice(inside, begin, end, windows.strides)
        values = [select_n_p.bind(counted, v, c) for v, c in zip(values, combined, strict=True)]
    return pytree.unflatten(tree, values)
