"""Batching of flat functions and programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.core import rules
from pullback._src.core.array import as_array
from pullback._src.core.aval import ShapedArray
from pullback._src.core.primitive import Primitive
from pullback._src.core.verify import verify
from pullback._src.transforms.batch import Axis, batch, batch_program, to_dim

from ..flat import run_program

M = as_array(np.arange(6, dtype=np.float32).reshape(2, 3))
V = as_array(np.array([1.0, 2.0, 3.0], np.float32))


def test_dimensions_of_results() -> None:
    values, dims = batch(lambda x, y: [x * y, y, x, pnp.sum(x)], Axis(2), [M, V], [0, None])
    assert dims[1] is None and values[1] is V
    assert dims[2] == 0 and values[2] is M
    assert values[0].shape == (2, 3) and dims[0] == 0
    np.testing.assert_array_equal(np.asarray(to_dim(values[3], dims[3], 0, 2)), M._data.sum(1))


def test_operations_on_unmapped_values_are_done_once() -> None:
    seen: list[Any] = []
    probe_p = Primitive("test_batch_probe")
    rules.abstract[probe_p] = lambda x: x
    rules.evaluate[probe_p] = lambda x: seen.append(x.shape) or x
    batch(lambda x: [probe_p.bind(V) * x], Axis(2), [M], [0])
    assert seen == [(3,)]


def test_to_dim() -> None:
    assert to_dim(M, 0, 0, 2) is M
    np.testing.assert_array_equal(np.asarray(to_dim(M, 0, 1, 2)), M._data.T)
    for wanted in (0, 1):
        out = to_dim(V, None, wanted, 4)
        np.testing.assert_array_equal(np.asarray(out), np.stack([V._data] * 4, wanted))


def test_missing_rules() -> None:
    plain_p = Primitive("test_batch_plain")
    rules.abstract[plain_p] = lambda x: x
    rules.evaluate[plain_p] = lambda x: x
    with pytest.raises(NotImplementedError, match="'test_batch_plain' has no batching rule"):
        batch(lambda x: [plain_p.bind(x)], Axis(2), [M], [0])
    rules.decompose[plain_p] = lambda x: pnp.sin(x) * 2.0
    (out,), _ = batch(lambda x: [plain_p.bind(x)], Axis(2), [M], [0])
    np.testing.assert_allclose(np.asarray(out), np.sin(M._data) * 2, rtol=1e-6)


def test_programs() -> None:
    program = pb.make_jaxpr(lambda x, y: (pnp.sin(x) * y, y, pnp.sum(x)))(V, V)
    for dims in ((0, None), (1, None), (None, 0), (0, 1)):
        args = [V if d is None else as_array(np.moveaxis(M._data, 0, d).copy()) for d in dims]
        axis = Axis(2)
        batched, out_dims = batch_program(program, axis, dims)
        assert batch_program(program, Axis(2), dims)[0] is batched
        verify(batched)
        outs = run_program(batched, args)
        rows = [
            [a._data if d is None else np.take(a._data, i, d) for a, d in zip(args, dims, strict=True)]
            for i in (0, 1)
        ]
        for i, (x, y) in enumerate(rows):
            expected = [np.sin(x) * y, y, x.sum()]
            for out, d, e in zip(outs, out_dims, expected, strict=True):
                found = out._data if d is None else np.take(out._data, i, d)
                np.testing.assert_allclose(found, e, rtol=1e-6)
        forced, dims_out = batch_program(program, axis, dims, (0, 1, None))
        assert dims_out[:2] == (0, 1)
        assert forced.out_avals[0] is ShapedArray((2, 3), np.float32)
        assert forced.out_avals[1] is ShapedArray((3, 2), np.float32)


def test_the_axis_name_is_part_of_what_is_kept() -> None:
    traced = pb.make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 2)])(V)
    two, _ = batch_program(traced, Axis(2, "i"), (0,))
    other, _ = batch_program(traced, Axis(2, "j"), (0,))
    assert two is not other
    np.testing.assert_array_equal(np.asarray(run_program(two, [M])[0]).reshape(-1)[:3], M._data.sum(0))


def test_batching_twice() -> None:
    inner = lambda x: batch(lambda y: [y * x], Axis(3), [V], [0])[0]
    outs, dims = batch(lambda x: inner(pnp.sum(x)), Axis(2), [M], [0])
    found = np.asarray(to_dim(outs[0], dims[0], 0, 2))
    np.testing.assert_allclose(found, M._data.sum(1)[:, None] * V._data)


def test_random_axes_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    f = lambda x, y: [pnp.tanh(x @ y.T) + pnp.sum(y), pnp.max(x, axis=-1), pnp.sort(y, axis=0)[::-1]]
    for dx in (None, 0, 1, 2):
        for dy in (None, 0, 1, 2):
            if dx is None and dy is None:
                continue
            x = rng.normal(size=(2, 3)) if dx is None else np.moveaxis(rng.normal(size=(4, 2, 3)), 0, dx)
            y = rng.normal(size=(5, 3)) if dy is None else np.moveaxis(rng.normal(size=(4, 5, 3)), 0, dy)
            values = [as_array(x), as_array(y)]
            outs, dims = batch(f, Axis(4), values, [dx, dy])
            outs = [to_dim(o, d, 0, 4) for o, d in zip(outs, dims, strict=True)]
            for i in range(4):
                row = f(
                    *[
                        v if d is None else as_array(np.take(v._data, i, d))
                        for v, d in zip(values, (dx, dy), strict=True)
                    ]
                )
                for out, e in zip(outs, row, strict=True):
                    np.testing.assert_allclose(np.asarray(out[i]), np.asarray(e), rtol=1e-5, atol=1e-6)
