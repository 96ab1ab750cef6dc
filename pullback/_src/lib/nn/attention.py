"""Scaled dot-product attention (Vaswani et al., NeurIPS 2017), with grouped heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core.array import Array, as_array, scalar
from ...ops.arithmetic import add_p, and_p, mul_p, sub_p
from ...ops.compare import ge_p, le_p, lt_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.families import broadcast_shapes
from ...ops.iota import broadcasted_iota
from ...ops.structural import broadcast_to, reshape
from ..numpy.einsum import einsum
from ..numpy.promotion import promote_inexact
from ..scipy.exponential_sums import logsumexp, softmax

__all__ = ["dot_product_attention"]

_INT32 = np.dtype(np.int32)


def _with_four(name: str, x: Any) -> Any:
    if x.aval.ndim not in (3, 4):
        raise ShapeError(f"dot_product_attention: {name} needs 3 or 4 dimensions, got shape {x.aval.shape}")
    return x if x.aval.ndim == 4 else reshape(x, (1, *x.aval.shape))


def _window(size: Any) -> tuple[int, int]:
    """How many positions before and after its own a query may look at."""
    if isinstance(size, (int, np.integer)):
        return int(size), int(size)
    before, after = size
    return int(before), int(after)


def _lengths_mask(lengths: Any, batch: int, positions: Any) -> Any:
    """Positions (1, 1, t, s) below each batch element's length."""
    limits = convert_element_type(as_array(lengths), _INT32)
    if limits.aval.shape != (batch,):
        raise ShapeError(
            f"dot_product_attention: lengths must have shape ({batch},), got {limits.aval.shape}"
        )
    return lt_p.bind(positions, reshape(limits, (batch, 1, 1, 1)))


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: Any = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: Any = None,
    implementation: Any = None,
    return_residual: bool = False,
) -> Any:
    """softmax(scale query key^T + bias) value, over the keys that the masks allow.

    Args:
        query: (batch, t, heads, h), or without the batch.
        key, value: (batch, s, groups, h); the heads are a multiple of the groups and share them in order.
        bias: added to the logits; broadcasts to (batch, heads, t, s).
        mask: True where a query may look; broadcasts to (batch, heads, t, s).
        scale: the logits' factor (default: 1 / sqrt(h)).
        is_causal: a query looks at keys of its own and earlier positions only.
        query_seq_lengths, key_value_seq_lengths: (batch,) numbers of valid positions; the results of later
            queries are 0.
        local_window_size: how many positions before and after its own a query looks at.
        implementation: accepted: None or 'xla'; there is one implementation.
        return_residual: also return the logarithms of the softmax's denominators, (batch, t, heads).

    Returns:
        An array of query's shape.
    """
    if implementation not in (None, "xla"):
        raise ValueError(f"dot_product_attention: there is no implementation {implementation!r}; use None")
    given = as_array(query, name="dot_product_attention").aval
    q, k, v = promote_inexact("dot_product_attention", query, key, value)
    q, k, v = _with_four("query", q), _with_four("key", k), _with_four("value", v)
    batch, t, heads, h = q.aval.shape
    _, s, groups, _ = k.aval.shape
    if k.aval.shape != v.aval.shape or k.aval.shape[0] != batch or k.aval.shape[3] != h or heads % groups:
        raise ShapeError(
            "dot_product_attention: expected query (batch, t, heads, h) and key and value "
            "(batch, s, groups, h) with heads a multiple of groups"
            f"; got {q.aval.shape}, {k.aval.shape} and {v.aval.shape}"
        )
    dtype = q.aval.dtype
    wide = np.dtype(np.float32) if dtype.itemsize < 4 else dtype
    grouped = reshape(q, (batch, t, groups, heads // groups, h))
    logits = einsum("btgnh,bsgh->bgnts", grouped, k, preferred_element_type=wide)
    logits = convert_element_type(reshape(logits, (batch, heads, t, s)), wide)
    logits = mul_p.bind(logits, _number(1 / math.sqrt(h) if scale is None else scale, wide))
    if bias is not None:
        logits = add_p.bind(logits, _number(bias, wide))
    allowed = _mask(
        mask, (batch, heads, t, s), is_causal, query_seq_lengths, key_value_seq_lengths, local_window_size
    )
    if allowed is not None:
        # A large finite number: a query that may look nowhere gets equal weights, and no NaN.
        lowest = -0.7 * float(np.finfo(wide).max)
        logits = select_n_p.bind(allowed, scalar(lowest, wide), logits)
    weights = convert_element_type(softmax(logits), dtype)
    grouped_weights = reshape(weights, (batch, groups, heads // groups, t, s))
    out = reshape(einsum("bgnts,bsgh->btgnh", grouped_weights, v), (batch, t, heads, h))
    if query_seq_lengths is not None:
        valid = _lengths_mask(query_seq_lengths, batch, broadcasted_iota(_INT32, (1, t, 1, 1), 1))
        out = select_n_p.bind(valid, scalar(0.0, dtype), out)
    out = convert_element_type(reshape(out, given.shape), dtype)
    if not return_residual:
        return out
    sums = einsum("bnt->btn", logsumexp(logits, axis=-1))
    return out, reshape(sums, given.shape[:-1])


def _number(x: Any, dtype: np.dtype[Any]) -> Any:
    return convert_element_type(as_array(x, name="dot_product_attention"), dtype)


def _mask(
    mask: Any,
    shape: tuple[int, int, int, int],
    is_causal: bool,
    query_lengths: Any,
    key_lengths: Any,
    window: Any,
) -> Array | None:
    """All masks together, or None if there are none."""
    batch, _, t, s = shape
    rows, columns = broadcasted_iota(_INT32, (1, 1, t, s), 2), broadcasted_iota(_INT32, (1, 1, t, s), 3)
    parts = []
    if mask is not None:
        parts.append(as_array(mask, name="dot_product_attention"))
    if is_causal:
        parts.append(ge_p.bind(rows, columns))
    if window is not None:
        before, after = _window(window)
        distance = sub_p.bind(columns, rows)
        parts.append(
            and_p.bind(
                ge_p.bind(distance, scalar(-before, _INT32)), le_p.bind(distance, scalar(after, _INT32))
            )
        )
    if query_lengths is not None:
        parts.append(_lengths_mask(query_lengths, batch, rows))
    if key_lengths is not None:
        parts.append(_lengths_mask(key_lengths, batch, columns))
    if not parts:
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = and_p.bind(whole, part)
    return broadcast_to(whole, broadcast_shapes("dot_product_attention", whole.aval.shape, shape))
