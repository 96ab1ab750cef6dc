"""Hypothesis strategies for arrays' indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]


@st.composite
def shaped_indices(draw: Any, *, outside: bool = False) -> tuple[tuple[int, ...], Any]:
    """A shape and an index for it: ints, slices, None, an ellipsis, arrays of ints, masks, mixed.

    With `outside`, arrays of ints may hold values out of bounds.
    """
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    items: list[Any] = []
    dim = 0
    has_ellipsis = has_mask = False
    while dim < len(shape) and draw(st.integers(0, 9)) < 9:
        size = shape[dim]
        choice = draw(st.sampled_from(["slice", "int", "array", "array", "none", "ellipsis", "mask"]))
        if choice == "slice":
            bound = st.none() | st.integers(-size - 2, size + 2)
            step = draw(st.sampled_from([None, None, 1, 2, 3, -1, -2]))
            items.append(slice(draw(bound), draw(bound), step))
            dim += 1
        elif choice == "int":
            items.append(draw(st.integers(-size, size - 1)))
            dim += 1
        elif choice == "array":
            dims = common[draw(st.integers(0, len(common))) :]
            dims = tuple(draw(st.sampled_from([n, n, 1])) for n in dims)
            margin = 3 if outside else 0
            count = int(np.prod(dims))
            value = st.integers(-size - margin, size - 1 + margin)
            values = draw(st.lists(value, min_size=count, max_size=count))
            items.append(np.array(values, np.int32).reshape(dims))
            dim += 1
        elif choice == "none":
            items.append(None)
        elif choice == "ellipsis" and not has_ellipsis:
            has_ellipsis = True
            items.append(...)
            dim += draw(st.integers(0, len(shape) - dim))
        elif choice == "mask" and not common and not has_mask:
            has_mask = True
            items.append(np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))))
            dim += 1
    if has_ellipsis:  # which stands for just the dimensions that it skipped
        items += [slice(None)] * (len(shape) - dim)
    if len(items) == 1 and draw(st.booleans()):
        return shape, items[0]
    return shape, tuple(items)


def is_traceable(item: Any) -> bool:
    """Whether an item of an index may be traced: an array of ints."""
    return isinstance(item, np.ndarray) and item.dtype.kind == "i"


def items_of(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def rebuilt(index: Any, arrays: Any, masks: Any) -> Any:
    """The index with its arrays of ints replaced by `arrays` in order, and its masks converted by `masks`."""
    given = iter(arrays)
    out = []
    for item in items_of(index):
        if is_traceable(item):
            out.append(next(given))
        else:
            out.append(masks(item) if isinstance(item, np.ndarray) else item)
    return tuple(out) if isinstance(index, tuple) else out[0]
