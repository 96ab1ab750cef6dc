"""`scan`: a loop over slices of arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.config import settings
from ..base.errors import ShapeError, StructureError
from ..core.aval import ShapedArray, shaped_array
from ..ops.convert import convert_element_type
from ..ops.joining import concatenate, slice
from ..ops.structural import expand_dims, reshape
from . import scan_reverse  # noqa: F401 - registers the rules of reverse mode
from .common import (
    LeafNames,
    Staged,
    check_carry_structure,
    check_carry_types,
    name_of,
    promoted_carry,
    stage_flat,
    to_arrays,
)
from .scan_rules import scan_p

__all__ = ["scan"]


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Apply `f` to slices of `xs` one after the other, handing a carry along and stacking the outputs.

    As the loop `for x in xs: carry, y = f(carry, x); ys.append(y)`, but traced once, whatever the length.

    Args:
        f: `(carry, x) -> (carry, y)`; the carry keeps its structure, shapes and dtypes.
        init: the first carry, a pytree of arrays. A Python number takes the dtype that `f` returns for it.
        xs: a pytree of arrays that are sliced along their first dimension, or None.
        length: the number of iterations; needed where `xs` has no leaves.
        reverse: go from the last slice to the first (outputs keep the places of their slices).
        unroll: how many iterations an engine may join into one (0 or True: all).
        _split_transpose: accepted for compatibility; ignored.

    Returns:
        The last carry, and the outputs `y` stacked along a new first dimension.

    Raises:
        TypeError: `f` returns no pair, or a carry of another structure or type.
        ValueError: `xs` have different lengths, or none is given.
    """
    if not callable(f):
        raise TypeError(
            f"scan: expected a function as its first argument, got {f!r} of type {type(f).__name__}"
        )
    leaves, in_tree = pytree.flatten((init, xs))
    init_tree, xs_tree = in_tree.children()
    num_carry = init_tree.num_leaves
    carry = to_arrays(leaves[:num_carry], init_tree, "scan: init")
    slices = to_arrays(leaves[num_carry:], xs_tree, "scan: xs")
    length = loop_length("scan", slices, xs_tree, length)
    unroll = checked_unroll(unroll)
    if settings().disable_jit:
        return python_scan(f, pytree.unflatten(init_tree, carry), slices, xs_tree, length, reverse)
    staged, carry = stage_body("scan", f, in_tree, init_tree, carry, [slice_aval(x.aval) for x in slices])
    outs = bind_scan(staged, [*carry, *slices], num_carry, length, bool(reverse), unroll)
    return pytree.unflatten(init_tree, outs[:num_carry]), pytree.unflatten(
        staged.out_tree.child(1), outs[num_carry:]
    )


def stage_body(
    name: str,
    f: Callable[..., Any],
    in_tree: pytree.TreeSpec,
    init_tree: pytree.TreeSpec,
    carry: list[Any],
    slice_avals: list[ShapedArray],
) -> tuple[Staged, list[Any]]:
    """The program of a scan's body, checked, and the initial carry, weak types promoted as it asks."""
    carry_avals = [c.aval for c in carry]
    while True:
        staged = stage_flat(f, in_tree, carry_avals + slice_avals, name)
        promoted = staged.memo.get("promoted", _UNCHECKED)
        if promoted is _UNCHECKED:
            tree = staged.out_tree
            if tree.num_children != 2 or tree.type is None or not issubclass(tree.type, (tuple, list)):
                raise StructureError(
                    f"{name}: the function {name_of(f)} must return a pair (carry, output), got "
                    f"{pytree.format_structure(tree)}. Return (carry, None) if there is no output."
                )
            check_carry_structure(name, init_tree, tree.child(0))
            found = staged.out_avals[: len(carry)]
            promoted = promoted_carry(carry_avals, found)
            if promoted is None:
                check_carry_types(name, init_tree, carry_avals, found)
            staged.memo["promoted"] = promoted
        if promoted is None:
            return staged, carry
        carry = [
            c if c.aval is a else convert_element_type(c, a.dtype)
            for c, a in zip(carry, promoted, strict=True)
        ]
        carry_avals = promoted


_UNCHECKED = object()


def bind_scan(
    staged: Staged, operands: Sequence[Any], num_carry: int, length: int, reverse: bool, unroll: int
) -> list[Any]:
    """Apply `scan_p` to a staged body, whose captured values become the loop's constants."""
    return scan_p.bind(
        *staged.consts,
        *operands,
        program=staged.program,
        length=length,
        reverse=reverse,
        unroll=unroll,
        num_consts=len(staged.consts),
        num_carry=num_carry,
    )


def slice_aval(aval: ShapedArray) -> ShapedArray:
    return shaped_array(aval.shape[1:], aval.dtype, aval.weak_type)


def loop_length(name: str, slices: Sequence[Any], tree: pytree.TreeSpec, length: Any) -> int:
    """The number of iterations, from `length` and the leaves of `xs`."""
    if length is not None:
        try:
            length = operator.index(length)
        except TypeError:
            raise TypeError(
                f"{name}: length must be an integer known before tracing, got {length!r}"
            ) from None
        if length < 0:
            raise ValueError(f"{name}: length must not be negative, got {length}")
    for i, x in enumerate(slices):
        if not x.aval.shape:
            raise ShapeError(
                f"{name}: {LeafNames('xs', tree)[i]} is a scalar ({x.aval.str_short()}) and has no dimension "
                f"to slice; pass arrays in xs, and let the function capture scalars"
            )
    sizes = {x.aval.shape[0] for x in slices}
    if len(sizes) > 1:
        names = LeafNames("xs", tree)
        listed = ", ".join(f"{names[i]} has {x.aval.shape[0]}" for i, x in enumerate(slices))
        raise ShapeError(f"{name}: the leaves of xs must have first dimensions of one size, but {listed}")
    if not sizes:
        if length is None:
            raise ValueError(
                f"{name}: xs has no arrays and length is not given; pass length=n for n iterations"
            )
        return length
    (size,) = sizes
    if length is not None and length != size:
        raise ShapeError(f"{name}: length is {length}, but the first dimension of xs has size {size}")
    return size


def checked_unroll(unroll: Any) -> int:
    if unroll is True or unroll is False:
        return int(not unroll)
    try:
        unroll = operator.index(unroll)
    except TypeError:
        raise TypeError(f"scan: unroll must be an integer or a bool, got {unroll!r}") from None
    if unroll < 0:
        raise ValueError(f"scan: unroll must not be negative, got {unroll}")
    return unroll


def python_scan(
    f: Callable[..., Any],
    carry: Any,
    slices: Sequence[Any],
    xs_tree: pytree.TreeSpec,
    length: int,
    reverse: bool,
) -> tuple[Any, Any]:
    """The loop in Python (`disable_jit`), for looking at values inside of the body."""
    if length == 0:
        raise ValueError("scan: without jit a loop of no iterations has outputs of unknown types")
    ys = []
    for i in reversed(range(length)) if reverse else range(length):
        carry, y = f(carry, pytree.unflatten(xs_tree, [element(x, i) for x in slices]))
        ys.append(pytree.flatten(y))
    if reverse:
        ys.reverse()
    y_tree = ys[0][1]
    columns = zip(*[to_arrays(y, y_tree, "scan: output") for y, _ in ys], strict=True)
    stacked = [concatenate([expand_dims(y, (0,)) for y in column], 0) for column in columns]
    return carry, pytree.unflatten(y_tree, stacked)


def element(x: Any, i: int) -> Any:
    """x[i] along the first dimension."""
    shape = x.aval.shape
    part = slice(x, (i,) + (0,) * (len(shape) - 1), (i + 1, *shape[1:]))
    return reshape(part, shape[1:])
