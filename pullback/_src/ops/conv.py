"""Convolutions (cross-correlations, as in machine learning) with strides, dilations, padding and groups.

The primitive has one layout: batch, feature, space for the left operand and the result, output feature, input
feature, space for the kernel. Other layouts are transpositions around it, which are free for the engines.

With x the left operand, w the kernel, per group and spatial dimension

    out[n, o, p] = sum over i, k of w[o, i, k] x~[n, i, p stride + k dilation - low],

where x~ is x with zeros between its elements (`lhs_dilation`) and around. It is bilinear; both transposes are
convolutions again, with strides and dilations exchanged. See Dumoulin and Visin, "A guide to convolution
arithmetic for deep learning", 2016.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .conv_shapes import (
    Ints,
    Pads,
    conv_dimension_numbers,
    dilated_size,
    padtype_to_pads,
    spatial_result,
    transpose_padding,
)
from .convert import convert_element_type
from .dot import bind_dot, canonical_precision, result_dtype
from .matrices import identity
from .structural import (
    add_any,
    broadcast_in_dim,
    moveaxis,
    product_coefficient,
    reshape,
    rev,
    rev_p,
    transpose,
    zeros,
)

__all__ = [
    "conv",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
]

conv_general_dilated_p = Primitive("conv_general_dilated")


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The general n-dimensional convolution (the kernel is not flipped).

    Args:
        lhs: the input, with batch, feature and n spatial dimensions.
        rhs: the kernel, with output feature, input feature and n spatial dimensions.
        window_strides: n strides.
        padding: "SAME", "SAME_LOWER", "VALID", or n pairs (low, high), which may be negative.
        lhs_dilation, rhs_dilation: n distances between neighbouring elements (default: 1).
        dimension_numbers: the layouts, as three strings such as ("NHWC", "HWIO", "NHWC"), as
            `ConvDimensionNumbers`, or None for batch (output feature), feature (input feature), space.
        feature_group_count: number of groups into which the input and output features are divided.
        batch_group_count: number of groups into which the batch and the output features are divided.
        precision: see `dot_general`.
        preferred_element_type: dtype in which to accumulate, and of the result.
        out_sharding: accepted for compatibility; there is one device.

    Raises:
        ShapeError: shapes, groups or parameters that do not fit together.
    """
    lhs = as_array(lhs, name="conv_general_dilated")
    rhs = as_array(rhs, name="conv_general_dilated")
    numbers = conv_dimension_numbers(lhs.aval.shape, rhs.aval.shape, dimension_numbers)
    rank = lhs.aval.ndim - 2
    strides = _per_dimension("window_strides", window_strides, rank)
    lhs_dilation = (1,) * rank if lhs_dilation is None else _per_dimension("lhs_dilation", lhs_dilation, rank)
    rhs_dilation = (1,) * rank if rhs_dilation is None else _per_dimension("rhs_dilation", rhs_dilation, rank)
    x, w = transpose(lhs, numbers.lhs_spec), transpose(rhs, numbers.rhs_spec)
    if isinstance(padding, str):
        sizes = [dilated_size(s, d) for s, d in zip(x.aval.shape[2:], lhs_dilation, strict=True)]
        windows = [dilated_size(s, d) for s, d in zip(w.aval.shape[2:], rhs_dilation, strict=True)]
        padding = padtype_to_pads(sizes, windows, strides, padding)
    pads = tuple((operator.index(lo), operator.index(hi)) for lo, hi in padding)
    if len(pads) != rank:
        raise ShapeError(
            f"a convolution over {rank} spatial dimensions needs as many pairs of padding; got {padding!r}"
        )
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(preferred_element_type, "conv_general_dilated")
    params = {
        "window_strides": strides,
        "padding": pads,
        "lhs_dilation": lhs_dilation,
        "rhs_dilation": rhs_dilation,
        "feature_group_count": operator.index(feature_group_count),
        "batch_group_count": operator.index(batch_group_count),
        "precision": canonical_precision(precision),
        "preferred_element_type": preferred_element_type,
    }
    _conv_abstract(x.aval, w.aval, **params)
    out = conv_general_dilated_p.bind(x, w, **params)
    spec = numbers.out_spec
    return transpose(out, sorted(range(len(spec)), key=spec.__getitem__))


def _per_dimension(name: str, values: Any, rank: int) -> Ints:
    out = tuple(operator.index(v) for v in values)
    if len(out) != rank or any(v < 1 for v in out):
        raise ShapeError(
            f"a convolution over {rank} spatial dimensions needs {rank} positive {name}; got {out}"
        )
    return out


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """A convolution in the default layout (batch, feature, space); see `conv_general_dilated`."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """A convolution in the default layout with any padding and dilations; see `conv_general_dilated`."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Any,
    padding: Any,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Array:
    """The fractionally strided ("transposed") convolution, the gradient of a convolution by its input.

    Args:
        lhs: the input.
        rhs: the kernel.
        strides: n strides, by which the result is larger than the input.
        padding: "SAME" (results of size input times stride), "VALID", or pairs of ints, applied to the
            dilated input.
        rhs_dilation: distances between the kernel's elements.
        dimension_numbers: as for `conv_general_dilated`; default ("NHWC", "HWIO", "NHWC") and its like for 1
            to 3 spatial dimensions.
        transpose_kernel: flip the kernel's spatial dimensions and swap its input and output features, so
            that this is exactly the gradient of the convolution with that kernel.
        precision, preferred_element_type: see `conv_general_dilated`.
        use_consistent_padding: pairs in `padding` are those of the convolution whose gradient this is.
    """
    lhs, rhs = as_array(lhs, name="conv_transpose"), as_array(rhs, name="conv_transpose")
    rank = lhs.aval.ndim - 2
    if dimension_numbers is None:
        if rank > 3:
            raise ValueError("conv_transpose needs dimension_numbers for more than 3 spatial dimensions")
        space = "DHW"[3 - rank :] if rank else ""
        dimension_numbers = (f"N{space}C", f"{space}IO", f"N{space}C")
    numbers = conv_dimension_numbers(lhs.aval.shape, rhs.aval.shape, dimension_numbers)
    dilation = (1,) * rank if rhs_dilation is None else _per_dimension("rhs_dilation", rhs_dilation, rank)
    steps = _per_dimension("strides", strides, rank)
    kernel = [rhs.aval.shape[i] for i in numbers.rhs_spec[2:]]
    windows = [dilated_size(k, d) for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(padding, str):
        pads = [transpose_padding(k, s, padding) for k, s in zip(windows, steps, strict=True)]
    elif use_consistent_padding:
        pads = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(windows, padding, strict=True)]
    else:
        pads = [tuple(p) for p in padding]
    if transpose_kernel:
        rhs = rev(rhs, numbers.rhs_spec[2:])
        out_axis, in_axis = numbers.rhs_spec[:2]
        order = list(range(rhs.aval.ndim))
        order[out_axis], order[in_axis] = in_axis, out_axis
        rhs = transpose(rhs, order)
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * rank,
        pads,
        steps,
        dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The windows that a convolution sees, as features: feature c * size + k is element k of the window of
    feature c.

    Args:
        lhs: the input.
        filter_shape: spatial sizes of the window.
        window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers: as for `conv_general_dilated`.
    """
    lhs = as_array(lhs, name="conv_general_dilated_patches")
    window = tuple(operator.index(d) for d in filter_shape)
    rank = lhs.aval.ndim
    numbers = conv_dimension_numbers(lhs.aval.shape, (1,) * rank, dimension_numbers)
    features = lhs.aval.shape[numbers.lhs_spec[1]]
    size = math.prod(window)
    # One output feature for each element of the window: a kernel that picks it.
    kernel = reshape(identity(size, lhs.aval.dtype), (size, 1, *window))
    kernel = broadcast_in_dim(kernel, (features, size, 1, *window), tuple(range(1, rank + 1)))
    kernel = reshape(kernel, (features * size, 1, *window))
    spec = numbers.rhs_spec
    kernel = transpose(kernel, sorted(range(rank), key=spec.__getitem__))
    return conv_general_dilated(
        lhs,
        kernel,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=features,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    filter_shape: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Array:
    """A convolution whose kernel differs from place to place (unshared weights).

    Args:
        lhs: the input.
        rhs: kernels: output feature, input feature times window size, and the result's spatial dimensions,
            in the places that the kernel's layout has for output feature, input feature and space.
        filter_shape: spatial sizes of the window.
        window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers: as for `conv_general_dilated`.
    """
    lhs = as_array(lhs, name="conv_general_dilated_local")
    rhs = as_array(rhs, name="conv_general_dilated_local")
    numbers = conv_dimension_numbers(lhs.aval.shape, rhs.aval.shape, dimension_numbers)
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, precision
    )
    x, w = transpose(patches, numbers.out_spec), transpose(rhs, numbers.rhs_spec)
    rank = x.aval.ndim
    space = tuple(range(2, rank))
    out = bind_dot(x, w, (((1,), (1,)), (space, space)), canonical_precision(precision))
    out = transpose(out, (rank - 2, rank - 1, *range(rank - 2)))
    spec = numbers.out_spec
    return transpose(out, sorted(range(rank), key=spec.__getitem__))


# Rules --------------------------------------------------------------------------------------------


def _conv_abstract(
    x: ShapedArray,
    w: ShapedArray,
    *,
    window_strides: Ints,
    padding: Pads,
    lhs_dilation: Ints,
    rhs_dilation: Ints,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
) -> ShapedArray:
    shapes = f"an input with {x.shape} and a kernel with {w.shape} (batch or output, feature, space)"
    groups, batches = feature_group_count, batch_group_count
    if x.ndim != w.ndim or x.ndim < 2:
        raise ShapeError(f"a convolution needs two operands of one rank, at least 2; got {shapes}")
    if groups < 1 or batches < 1 or (groups > 1 and batches > 1):
        raise ShapeError(
            "feature_group_count and batch_group_count must be positive, and at most one of them may "
            "exceed 1; got "
            f"{groups} and {batches}"
        )
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            f"a convolution with {groups} feature group(s) needs an input with {groups} times the "
            "kernel's input "
            f"features; got {shapes}"
        )
    if w.shape[0] % (groups * batches) or x.shape[0] % batches:
        raise ShapeError(
            f"a convolution's output features must divide into feature_group_count={groups} and "
            "batch_group_count="
            f"{batches} groups, and the batch into the latter; got {shapes}"
        )
    if any(d == 0 for d in w.shape[2:]):
        raise ShapeError(f"a convolution's kernel must not be empty; got {shapes}")
    dtype = result_dtype("conv_general_dilated", x.dtype, w.dtype, preferred_element_type)
    space = spatial_result(x.shape, w.shape, window_strides, padding, lhs_dilation, rhs_dilation)
    return shaped_array((x.shape[0] // batches, w.shape[0], *space), dtype, x.weak_type and w.weak_type)


def _conv_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    (x, w), (tx, tw) = primals, tangents
    out = conv_general_dilated_p.bind(x, w, **params)
    total = None if type(tx) is Zero else conv_general_dilated_p.bind(tx, w, **params)
    if type(tw) is not Zero:
        term = conv_general_dilated_p.bind(x, tw, **params)
        total = term if total is None else add_any(total, term)
    return out, Zero(out.aval.tangent) if total is None else total


def _merge(x: Any, axis: int) -> Any:
    """Merge a dimension with the next one."""
    shape = x.aval.shape
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _swap01(x: Any) -> Any:
    return moveaxis(x, 0, 1)


def _conv_transpose(
    ct: Any,
    x: Any,
    w: Any,
    *,
    window_strides: Ints,
    padding: Pads,
    lhs_dilation: Ints,
    rhs_dilation: Ints,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
) -> list[Any]:
    if ct.aval.size == 0:
        return [zeros(v.aval) if type(v) is rules.Linear else None for v in (x, w)]
    groups, batches = feature_group_count, batch_group_count
    dims = range(len(padding))
    inputs = [dilated_size(s, d) for s, d in zip(x.aval.shape[2:], lhs_dilation, strict=True)]
    windows = [dilated_size(s, d) for s, d in zip(w.aval.shape[2:], rhs_dilation, strict=True)]
    outputs = [dilated_size(s, d) for s, d in zip(ct.aval.shape[2:], window_strides, strict=True)]
    common = {"precision": precision, "preferred_element_type": None}
    if type(x) is rules.Linear:
        # x~'[q] = sum_k w[k] out'[(q + low - k dilation) / stride]: the cotangent, dilated by the strides,
        # with the flipped kernel, input and output features exchanged within each group.
        pads = [(windows[i] - 1 - padding[i][0], inputs[i] - outputs[i] + padding[i][0]) for i in dims]
        kernel = rev_p.bind(w, dimensions=tuple(range(2, w.aval.ndim)))
        split = groups * batches
        kernel = _exchange(kernel, split)
        out = conv_general_dilated_p.bind(
            ct,
            kernel,
            window_strides=lhs_dilation,
            padding=tuple(pads),
            lhs_dilation=window_strides,
            rhs_dilation=rhs_dilation,
            feature_group_count=split,
            batch_group_count=1,
            **common,
        )
        if batches > 1:
            # (n, batches * C): the group belongs in front of the batch.
            shape = out.aval.shape
            out = reshape(out, (shape[0], batches, shape[1] // batches, *shape[2:]))
            out = _merge(moveaxis(out, 1, 0), 0)
        return [convert_element_type(out, x.dtype), None]
    # w'[o, i, k] = sum over n, p of x~[n, i, p stride + k dilation - low] out'[n, o, p]: batch and features
    # exchanged, the cotangent is the kernel.
    pads = [(padding[i][0], windows[i] - 1 + outputs[i] - inputs[i] - padding[i][0]) for i in dims]
    out = conv_general_dilated_p.bind(
        _swap01(x),
        _swap01(ct),
        window_strides=rhs_dilation,
        padding=tuple(pads),
        lhs_dilation=lhs_dilation,
        rhs_dilation=window_strides,
        feature_group_count=batches,
        batch_group_count=groups,
        **common,
    )
    return [None, convert_element_type(_swap01(out), w.dtype)]


def _exchange(w: Any, groups: int) -> Any:
    """Exchange the output and input features of a kernel within each group: (g o, i, ...) to (g i,
    o, ...).
    """
    shape = w.aval.shape
    w = reshape(w, (groups, shape[0] // groups, *shape[1:]))
    return _merge(moveaxis(w, 2, 1), 0)


def _conv_batch(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    feature_group_count: int,
    batch_group_count: int,
    **params: Any,
) -> tuple[Any, int]:
    (x, w), (dx, dw) = values, dims
    groups, batches = feature_group_count, batch_group_count
    size = axis.size

    def run(x: Any, w: Any, groups: int, batches: int) -> Any:
        return conv_general_dilated_p.bind(
            x, w, feature_group_count=groups, batch_group_count=batches, **params
        )

    def split(out: Any, place: int, outer: int) -> tuple[Any, int]:
        """Take the mapped dimension out of dimension `place`, where `outer` groups precede it."""
        shape = out.aval.shape
        rest = shape[place] // (outer * size)
        out = reshape(out, (*shape[:place], outer, size, rest, *shape[place + 1 :]))
        out = _merge(moveaxis(out, place + 1, 0), place + 1)
        return out, 0

    def fold(value: Any, dim: int, place: int, outer: int) -> Any:
        """Put the mapped dimension into dimension `place`, behind `outer` groups."""
        value = moveaxis(value, dim, 0)
        shape = value.aval.shape[1:]
        value = reshape(value, (size, *shape[:place], outer, shape[place] // outer, *shape[place + 1 :]))
        value = moveaxis(value, 0, place + 1)
        return _merge(_merge(value, place), place)

    if dx is not None and dw is not None:
        w = fold(w, dw, 0, 1)
        if batches > 1:
            return split(run(fold(x, dx, 0, 1), w, 1, size * batches), 1, 1)
        return split(run(fold(x, dx, 1, 1), w, size * groups, 1), 1, 1)
    if dx is not None:
        return split(run(fold(x, dx, 0, batches), w, groups, batches), 0, 1)
    assert dw is not None  # at least one operand is mapped
    outer = groups * batches
    return split(run(x, fold(w, dw, 0, outer), groups, batches), 1, outer)


rules.abstract[conv_general_dilated_p] = _conv_abstract
rules.jvp[conv_general_dilated_p] = _conv_jvp
rules.coefficient[conv_general_dilated_p] = product_coefficient(conv_general_dilated_p)
rules.transpose[conv_general_dilated_p] = _conv_transpose
rules.batch[conv_general_dilated_p] = _conv_batch
