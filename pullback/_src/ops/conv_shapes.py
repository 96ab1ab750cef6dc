"""Layouts, padding and shapes of convolutions."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..base.errors import ShapeError

__all__ = [
    "ConvDimensionNumbers",
    "conv_dimension_numbers",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose_shape_tuple",
    "padtype_to_pads",
]

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


class ConvDimensionNumbers(NamedTuple):
    """Where each operand has its dimensions: (batch, feature, *spatial), (out, in, *spatial),
    (batch, feature, *spatial).
    """

    lhs_spec: Ints
    rhs_spec: Ints
    out_spec: Ints


def conv_general_permutations(dimension_numbers: tuple[str, str, str]) -> tuple[Ints, Ints, Ints]:
    """The permutations that take each operand to the canonical layout, from strings such as ("NHWC", "HWIO",
    "NHWC").

    Raises:
        ValueError: strings that are no layouts.
    """
    if len(dimension_numbers) != 3:
        raise ValueError(
            f"a convolution's layout is three strings (lhs, rhs, out); got {dimension_numbers!r}"
        )
    lhs, rhs, out = dimension_numbers
    spatial = [c for c in rhs if c not in "OI"]
    specs = []
    for text, (first, second), what in ((lhs, "NC", "lhs"), (rhs, "OI", "rhs"), (out, "NC", "output")):
        if sorted(text) != sorted([first, second, *spatial]) or len(set(text)) != len(text):
            raise ValueError(
                f"the {what} layout {text!r} must have {first!r}, {second!r} and the spatial letters "
                "of the kernel, "
                f"{''.join(spatial)!r}, once each"
            )
        specs.append((text.index(first), text.index(second), *(text.index(c) for c in spatial)))
    return specs[0], specs[1], specs[2]


def conv_dimension_numbers(lhs_shape: Any, rhs_shape: Any, dimension_numbers: Any) -> ConvDimensionNumbers:
    """Canonical dimension numbers from None (batch, feature, space), three strings, or
    `ConvDimensionNumbers`.
    """
    rank = len(lhs_shape)
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    if len(rhs_shape) != rank:
        raise ShapeError(
            f"a convolution needs two operands of one rank; got shapes {tuple(lhs_shape)} and "
            f"{tuple(rhs_shape)}"
        )
    if dimension_numbers is None:
        order = tuple(range(rank))
        return ConvDimensionNumbers(order, order, order)
    lhs, rhs, out = dimension_numbers
    if isinstance(lhs, str):
        if not len(lhs) == len(rhs) == len(out) == rank:
            raise ValueError(f"the layout {dimension_numbers!r} does not fit operands with {rank} dimensions")
        return ConvDimensionNumbers(*conv_general_permutations((lhs, rhs, out)))
    return ConvDimensionNumbers(tuple(lhs), tuple(rhs), tuple(out))


def padtype_to_pads(
    in_shape: Any, window_shape: Any, window_strides: Any, padding: Any
) -> list[tuple[int, int]]:
    """The padding (low, high) of each dimension that the name "SAME", "SAME_LOWER" or "VALID" stands for.

    Raises:
        ValueError: another name.
    """
    name = padding.upper() if isinstance(padding, str) else padding
    if name == "VALID":
        return [(0, 0)] * len(in_shape)
    if name not in ("SAME", "SAME_LOWER"):
        raise ValueError(f"unknown padding {padding!r}; use 'SAME', 'SAME_LOWER', 'VALID' or pairs of ints")
    pads = []
    for size, window, stride in zip(in_shape, window_shape, window_strides, strict=True):
        out = -(-size // stride)
        total = max((out - 1) * stride + window - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if name == "SAME" else (large, small))
    return pads


def dilated_size(size: int, dilation: int) -> int:
    return 0 if size == 0 else (size - 1) * dilation + 1


def transpose_padding(window: int, stride: int, padding: str) -> tuple[int, int]:
    name = padding.upper()
    if name == "SAME":
        total = window + stride - 2
        low = window - 1 if stride > window - 1 else -(-total // 2)
    elif name == "VALID":
        total = window + stride - 2 + max(window - stride, 0)
        low = window - 1
    else:
        raise ValueError(f"unknown padding {padding!r}; use 'SAME', 'VALID' or pairs of ints")
    return low, total - low


def conv_shape_tuple(
    lhs_shape: Any, rhs_shape: Any, strides: Any, pads: Any, batch_group_count: int = 1
) -> Ints:
    """The shape of a convolution's result in the canonical layout."""
    rank = len(lhs_shape) - 2
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    space = spatial_result(lhs_shape, rhs_shape, strides, pads, (1,) * rank, (1,) * rank)
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *space)


def conv_general_shape_tuple(
    lhs_shape: Any, rhs_shape: Any, window_strides: Any, padding: Any, dimension_numbers: Any
) -> Ints:
    """The shape of a convolution's result in any layout."""
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    x = [lhs_shape[i] for i in numbers.lhs_spec]
    w = [rhs_shape[i] for i in numbers.rhs_spec]
    out = conv_shape_tuple(x, w, window_strides, padding)
    return tuple(out[numbers.out_spec.index(i)] for i in range(len(out)))


def conv_transpose_shape_tuple(
    lhs_shape: Any, rhs_shape: Any, window_strides: Any, padding: Any, dimension_numbers: Any
) -> Ints:
    """The shape of `conv_transpose`'s result in any layout."""
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    x = [lhs_shape[i] for i in numbers.lhs_spec]
    w = [rhs_shape[i] for i in numbers.rhs_spec]
    if isinstance(padding, str):
        padding = [transpose_padding(k, s, padding) for k, s in zip(w[2:], window_strides, strict=True)]
    rank = len(x) - 2
    space = spatial_result(x, w, (1,) * rank, padding, window_strides, (1,) * rank)
    out = (x[0], w[0], *space)
    return tuple(out[numbers.out_spec.index(i)] for i in range(len(out)))


def spatial_result(
    lhs_shape: Any, rhs_shape: Any, strides: Any, padding: Any, lhs_dilation: Any, rhs_dilation: Any
) -> Ints:
    out = []
    for size, window, stride, (lo, hi), dx, dw in zip(
        lhs_shape[2:], rhs_shape[2:], strides, padding, lhs_dilation, rhs_dilation, strict=True
    ):
        room = dilated_size(size, dx) + lo + hi - dilated_size(window, dw)
        out.append(max(room // stride + 1, 0))
    return tuple(out)
