"""Patterns and random dimension numbers of gathers and scatters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One gather: `numbers` are the fields of GatherDimensionNumbers; those of a scatter correspond.

    `indices` lie inside (unless the case is random), some of `indices_outside` do not; neither repeats.
    """

    shape: tuple[int, ...]
    indices: Array
    indices_outside: Array
    numbers: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    @property
    def result_shape(self) -> tuple[int, ...]:
        offset, collapsed = self.numbers[:2]
        removed = {*collapsed, *(self.numbers[3] if len(self.numbers) > 3 else ())}
        batch = iter(self.indices.shape[:-1])
        window = iter([s for d, s in enumerate(self.sizes) if d not in removed])
        rank = len(self.indices.shape) - 1 + len(offset)
        return tuple(next(window) if d in offset else next(batch) for d in range(rank))


def _i(values: Any) -> Array:
    return np.array(values, np.int32)


PATTERNS = {
    "rows": Case((4, 3), _i([[2], [0]]), _i([[1], [4]]), ((1,), (0,), (0,)), (1, 3)),
    "columns": Case((2, 4), _i([[[3]], [[1]]]), _i([[[-1]], [[2]]]), ((0,), (1,), (1,)), (2, 1)),
    "elements": Case((3, 4), _i([[0, 1], [2, 3]]), _i([[0, 4], [1, 1]]), ((), (0, 1), (0, 1)), (1, 1)),
    "windows": Case((4, 5), _i([[1, 0], [2, 2]]), _i([[0, 1], [3, 3]]), ((0, 2), (), (0, 1)), (2, 3)),
    "batched": Case(
        (2, 4, 3),
        _i([[[1], [3]], [[0], [2]]]),
        _i([[[1], [-2]], [[5], [2]]]),
        ((2,), (1,), (1,), (0,), (0,)),
        (1, 1, 3),
    ),
    "one": Case((4, 3), _i([1, 1]), _i([3, 1]), ((0,), (0,), (0, 1)), (1, 2)),
}


def random_case(rng: np.random.Generator, *, inside: bool) -> Case:
    """A valid gather with at least one component in its index vectors; indices may repeat and lie outside."""
    rank = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, 5, rank))
    batch = [int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3)))]
    dims = [int(d) for d in rng.permutation(rank)]
    operand_batching: tuple[int, ...] = ()
    indices_batching: tuple[int, ...] = ()
    if batch and len(dims) > 1 and rng.random() < 0.4:
        operand_batching = (dims.pop(),)
        indices_batching = (int(rng.integers(len(batch))),)
        batch[indices_batching[0]] = shape[operand_batching[0]]
    index_map = tuple(dims[: int(rng.integers(1, len(dims) + 1))])
    collapsed = tuple(sorted(d for d in dims if rng.random() < 0.5))
    removed = {*collapsed, *operand_batching}
    sizes = tuple(1 if d in removed else int(rng.integers(1, shape[d] + 1)) for d in range(rank))
    window = rank - len(removed)
    offset = tuple(sorted(int(d) for d in rng.choice(len(batch) + window, window, replace=False)))
    limits = np.array([shape[d] - sizes[d] for d in index_map])
    indices = rng.integers(-2, 6, (*batch, len(index_map)))
    if inside:
        indices = np.clip(indices, 0, limits)
    indices = indices.astype(np.int32)
    return Case(
        shape, indices, indices, (offset, collapsed, index_map, operand_batching, indices_batching), sizes
    )
