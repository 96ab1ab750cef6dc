"""Reductions over sliding windows, against JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.core.array import wrap
from pullback._src.ops import windows as ops

from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, distinct, integers, uniform

_INITIAL = {"sum": (0.0, jax.lax.add), "max": (-np.inf, jax.lax.max), "min": (np.inf, jax.lax.min)}
_WINDOWS = {
    "plain": ops.Windows((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1)),
    "strided": ops.Windows((2, 3), (2, 2), ((0, 0), (1, 1)), (1, 1), (1, 1)),
    "dilated": ops.Windows((2, 2), (1, 2), ((1, 0), (0, 2)), (1, 2), (2, 1)),
    "cropped": ops.Windows((1, 2), (1, 1), ((-1, 0), (-2, 1)), (2, 1), (1, 2)),
    "far": ops.Windows((1, 2), (3, 1), ((0, 0), (3, 0)), (1, 1), (1, 1)),
}


def _jax(name: str, x: Any, windows: ops.Windows) -> Any:
    initial, computation = _INITIAL[name]
    if np.dtype(x.dtype).kind in "iu" and name != "sum":
        info = np.iinfo(x.dtype)
        initial = info.min if name == "max" else info.max
    start = np.asarray(initial).astype(x.dtype)
    return np.asarray(jax.lax.reduce_window(jnp.asarray(x), start, computation, *windows))


def _samples() -> list[Sample]:
    out = []
    for name in _INITIAL:
        primitive = getattr(ops, f"reduce_window_{name}_p")
        covered = (primitive.name,) if name == "sum" else (primitive.name, "window_select", "window_deposit")
        for label, windows in _WINDOWS.items():
            function = lambda v, p=primitive, w=windows: p.bind(v, windows=w)
            reference = lambda v, name=name, w=windows: _jax(name, v, w)
            x = distinct((4, 5), np.float64)
            out.append(Sample(f"{name}-f64-{label}", function, (x,), reference, (0,), primitives=covered))
            x = distinct((4, 5), np.float32)
            out.append(Sample(f"{name}-f32-{label}", function, (x,), reference, (0,), 1))
        function = lambda v, p=primitive: p.bind(v, windows=_WINDOWS["strided"])
        reference = lambda v, name=name: _jax(name, v, _WINDOWS["strided"])
        for dtype in (np.int32, BFLOAT16):
            x = integers(-9, 9, (4, 5), dtype) if dtype is np.int32 else distinct((4, 5), dtype)
            out.append(Sample(f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}", function, (x,), reference))
        out.append(
            Sample(
                f"{name}-empty",
                function,
                (np.zeros((0, 5), np.float32),),
                lambda v: np.zeros((0, 3), v.dtype),
                (0,),
                1,
            )
        )
    z = uniform(-1, 1, (4, 5), np.complex128)
    dilated = _WINDOWS["dilated"]
    out.append(
        Sample(
            "sum-c128",
            lambda v: ops.reduce_window_sum_p.bind(v, windows=dilated),
            (z,),
            lambda v: _jax("sum", v, dilated),
            (0,),
        )
    )
    for label in ("strided", "dilated"):
        windows = _WINDOWS[label]
        for greatest in (True, False):
            name = f"{label}-{'max' if greatest else 'min'}"
            x, t = distinct((4, 5), np.float64), uniform(-1, 1, (4, 5), np.float64)
            u = uniform(-1, 1, windows.counts((4, 5)), np.float64)
            params = {"windows": windows, "greatest": greatest, "x": x}
            out.append(
                Sample(
                    f"window_select-{name}",
                    partial(_bind, ops.window_select_p, **params),
                    (t,),
                    partial(_pushed, **params),
                    (0,),
                )
            )
            out.append(
                Sample(
                    f"window_deposit-{name}",
                    partial(_bind, ops.window_deposit_p, **params),
                    (u,),
                    partial(_pulled, **params),
                    (0,),
                )
            )
    return out


def _bind(primitive: Any, values: Any, *, x: Any, **params: Any) -> Any:
    return primitive.bind(values, wrap(x), **params)


def _pushed(t: Any, *, x: Any, windows: ops.Windows, greatest: bool) -> Any:
    return _route(t, x, windows, greatest)[0]


def _pulled(u: Any, *, x: Any, windows: ops.Windows, greatest: bool) -> Any:
    return _route(u, x, windows, greatest)[1]


def _route(values: Any, x: Any, windows: ops.Windows, greatest: bool) -> tuple[Any, Any]:
    """Window by window, by the definition: what each selects, and where each deposits."""
    selected = np.zeros(windows.counts(x.shape))
    deposited = np.zeros(x.shape)
    for place in np.ndindex(*selected.shape):
        best = None
        for offset in np.ndindex(*windows.dimensions):
            index = []
            for p, o, s, (lo, _), b, w in zip(
                place,
                offset,
                windows.strides,
                windows.padding,
                windows.base_dilation,
                windows.window_dilation,
                strict=True,
            ):
                index.append(divmod(p * s + o * w - lo, b))
            inside = all(r == 0 and 0 <= q < n for (q, r), n in zip(index, x.shape, strict=True))
            if inside:
                at = tuple(q for q, _ in index)
                if best is None or (x[at] > x[best] if greatest else x[at] < x[best]):
                    best = at
        if best is not None:
            if values.shape == x.shape:
                selected[place] = values[best]
            if values.shape == selected.shape:
                deposited[best] += values[place]
    return selected, deposited


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


_SIZE = st.integers(1, 3)


@given(st.data())
def test_any_window_of_a_vector(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 6))
    padding = (data.draw(st.integers(-1, 3)), data.draw(st.integers(-1, 3)))
    windows = ops.Windows(
        *[(data.draw(_SIZE),) for _ in range(2)], (padding,), *[(data.draw(_SIZE),) for _ in range(2)]
    )
    base = windows.base_dilation[0]
    if size == 0 or base * (size - 1) + 1 + sum(padding) < 0:
        return
    x = distinct((size,), np.float32)
    spread = np.full(base * (size - 1) + 1, np.nan)
    spread[::base] = x
    lo, hi = padding
    spread = (
        spread[max(-lo, 0) : len(spread) - max(-hi, 0)] if -lo + max(-hi, 0) <= len(spread) else spread[:0]
    )
    padded = np.concatenate([np.full(max(lo, 0), np.nan), spread, np.full(max(hi, 0), np.nan)])
    (k,), (s,), _, _, (w,) = windows
    extent = w * (k - 1) + 1
    starts = range(0, max(len(padded) - extent + 1, 0), s)
    expected = np.array([np.nansum(padded[i : i + extent : w]) for i in starts], np.float32)
    actual = np.asarray(ops.reduce_window_sum_p.bind(wrap(x), windows=windows))
    assert actual.shape == windows.counts(x.shape)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((4, 5), np.float32))
    wrong = _WINDOWS["plain"]._replace(strides=(1,))
    with pytest.raises(
        TypeError, match=r"strides \(1,\) must have 2 entries for an operand of shape \(4, 5\)"
    ):
        ops.check_windows("pool", x.aval, wrong)
    with pytest.raises(ValueError, match=r"dimensions \(0, 1\) must be positive"):
        ops.check_windows("pool", x.aval, _WINDOWS["plain"]._replace(dimensions=(0, 1)))
