"""Functions of arrays along one dimension that are made of scans and of whole-array operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..base import pytree
from ..base.config import settings
from ..base.errors import ShapeError, StructureError
from ..core.array import Array
from ..ops.joining import concatenate, slice
from ..ops.structural import canonical_axis, expand_dims, reshape, rev
from .chunks import checked_batch_size, in_chunks
from .common import LeafNames, stage_flat, to_arrays
from .scan import bind_scan, loop_length, python_scan, slice_aval

__all__ = ["associative_scan", "map"]


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply `f` to each slice of `xs` along the first dimension and stack the results.

    One slice after the other, as a scan (`vmap` takes all at once, which needs more memory).

    Args:
        f: a function of one slice.
        xs: a pytree of arrays with first dimensions of one size.
        batch_size: how many slices to take at once, as `vmap` does; a rest is taken by itself.

    Raises:
        ValueError: `xs` has no arrays, or first dimensions of different sizes.
    """
    if not callable(f):
        raise TypeError(
            f"map: expected a function as its first argument, got {f!r} of type {type(f).__name__}"
        )
    leaves, in_tree = pytree.flatten((xs,))
    xs_tree = in_tree.child(0)
    slices = to_arrays(leaves, xs_tree, "map: xs")
    if not slices:
        raise ValueError(
            "map: xs has no arrays; expected at least one, whose first dimension gives the length"
        )
    length = loop_length("map", slices, xs_tree, None)
    if settings().disable_jit and length:
        return python_scan(lambda _, x: (None, f(x)), None, slices, xs_tree, length, reverse=False)[1]
    staged = stage_flat(f, in_tree, [slice_aval(x.aval) for x in slices], "map")
    if not batch_size or batch_size == 1:
        outs = bind_scan(staged, slices, 0, length, False, 1)
    else:
        mapped = (False,) * len(staged.consts) + (True,) * len(slices)
        size = checked_batch_size("map", batch_size)
        outs = in_chunks(staged.program, [*staged.consts, *slices], mapped, length, size)
    return pytree.unflatten(staged.out_tree, outs)


def _part(x: Any, start: int, stop: int, stride: int = 1, axis: int = 0) -> Array:
    """x[start:stop:stride] along `axis`."""
    shape = x.aval.shape
    low, high, step = [0] * len(shape), list(shape), [1] * len(shape)
    low[axis], high[axis], step[axis] = start, stop, stride
    return slice(x, low, high, step)


# associative_scan ---------------------------------------------------------------------------------


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All partial results of an associative operation, in about 2 log2(n) steps of whole-array operations.

    Result i combines the elements 0..i along `axis` (i..n-1 if `reverse`). Blelloch's scheme: combine
    neighbours, scan the half as many results, and fill in the elements between.

    Args:
        fn: an associative function of two pytrees of the structure of `elems`, which acts on any number of
            elements along `axis` at once.
        elems: a pytree of arrays of one size along `axis`.
        reverse: scan from the end.
        axis: the dimension to scan along.

    Raises:
        ValueError: arrays of different sizes along `axis`.
        TypeError: `fn` is no function or returns another structure.
    """
    if not callable(fn):
        raise TypeError(
            f"associative_scan: expected a function as its first argument, got {type(fn).__name__}"
        )
    leaves, tree = pytree.flatten(elems)
    arrays = to_arrays(leaves, tree, "associative_scan: elems")
    if not arrays:
        return elems
    for i, x in enumerate(arrays):
        if not x.aval.shape:
            raise ShapeError(
                f"associative_scan: {LeafNames('elems', tree)[i]} is a scalar and has no dimension to scan"
            )
    axes = [canonical_axis(axis, x.aval.ndim) for x in arrays]
    sizes = [x.aval.shape[a] for x, a in zip(arrays, axes, strict=True)]
    if len(set(sizes)) > 1:
        names = LeafNames("elems", tree)
        listed = ", ".join(f"{names[i]} has {size}" for i, size in enumerate(sizes))
        raise ShapeError(f"associative_scan: arrays must have one size along axis {axis}, but {listed}")

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        outs, out_tree = pytree.flatten(fn(pytree.unflatten(tree, a), pytree.unflatten(tree, b)))
        if out_tree != tree:
            difference = pytree.explain_structure_difference(
                tree, out_tree, "elems", "the result of the function"
            )
            raise StructureError(
                f"associative_scan: the function must return the structure of elems: {difference}."
            )
        return to_arrays(outs, tree, "associative_scan: result")

    if reverse:
        arrays = [rev(x, (a,)) for x, a in zip(arrays, axes, strict=True)]
    outs = _associative(combine, arrays, axes, sizes[0])
    if reverse:
        outs = [rev(x, (a,)) for x, a in zip(outs, axes, strict=True)]
    return pytree.unflatten(tree, outs)


Combine = Callable[[Sequence[Any], Sequence[Any]], list[Any]]


def _associative(combine: Combine, arrays: list[Any], axes: Sequence[int], n: int) -> list[Any]:
    if n < 2:
        return arrays

    def part(xs: Iterable[Any], start: int, stop: int, stride: int = 1) -> list[Any]:
        return [_part(x, start, stop, stride, a) for x, a in zip(xs, axes, strict=True)]

    half = n // 2
    pairs = combine(part(arrays, 0, 2 * half - 1, 2), part(arrays, 1, 2 * half, 2))
    odd = _associative(combine, pairs, axes, half)  # results 1, 3, 5, ...
    if n == 2:
        first = part(arrays, 0, 1)
        return [concatenate([f, o], a) for f, o, a in zip(first, odd, axes, strict=True)]
    rest = combine(odd if n % 2 else part(odd, 0, half - 1), part(arrays, 2, n, 2))  # results 2, 4, 6, ...
    return [
        _interleave(concatenate([f, r], a), o, a, n)
        for f, r, o, a in zip(part(arrays, 0, 1), rest, odd, axes, strict=True)
    ]


def _interleave(even: Any, odd: Any, axis: int, n: int) -> Any:
    """even[0], odd[0], even[1], odd[1], ... along `axis`, n elements in all."""
    half = odd.aval.shape[axis]
    both = concatenate(
        [expand_dims(_part(even, 0, half, 1, axis), (axis + 1,)), expand_dims(odd, (axis + 1,))], axis + 1
    )
    shape = odd.aval.shape
    out = reshape(both, (*shape[:axis], 2 * half, *shape[axis + 1 :]))
    return out if n % 2 == 0 else concatenate([out, _part(even, half, half + 1, 1, axis)], axis)
