"""`stop_gradient`, transfers, devices, names, types."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp


def test_stop_gradient() -> None:
    f = lambda x: pnp.sum(pb.stop_gradient(x) * x)
    assert pb.grad(f)(pnp.arange(3.0)).tolist() == [0, 1, 2]
    assert float(pb.jvp(pb.stop_gradient, (2.0,), (1.0,))[1]) == 0.0
    assert pb.vmap(pb.grad(lambda x: x * pb.stop_gradient(x)))(pnp.arange(3.0)).tolist() == [0, 1, 2]
    assert float(pb.grad(pb.grad(lambda x: x**2 * pb.stop_gradient(x)))(3.0)) == 6.0
    tree = {"x": pnp.ones(2), "n": 3, "text": "abc", "none": None}
    out = pb.stop_gradient(tree)
    assert out["text"] == "abc" and out["none"] is None and out["x"].tolist() == [1, 1]
    assert float(pb.grad(lambda d: d["a"] * pb.stop_gradient(d)["b"])({"a": 2.0, "b": 3.0})["b"]) == 0.0


def test_transfers() -> None:
    tree = {"a": np.arange(3), "b": [2.0, None]}
    there = pb.device_put(tree)
    assert isinstance(there["a"], pb.Array) and isinstance(there["b"][0], pb.Array)
    back = pb.device_get(there)
    assert type(back["a"]) is np.ndarray and back["a"].tolist() == [0, 1, 2] and back["b"][1] is None
    assert pb.block_until_ready(there) is there
    assert pb.device_put(pnp.ones(2), pb.devices()[0]).tolist() == [1, 1]


def test_devices() -> None:
    (device,) = pb.devices()
    assert pb.devices("cpu") == pb.local_devices() == [device]
    assert (device.platform, device.id, repr(device)) == ("cpu", 0, "CpuDevice(id=0)")
    assert pb.device_count() == pb.local_device_count() == pb.process_count() == 1
    assert pb.process_index() == 0 and pb.default_backend() == "cpu"
    with pytest.raises(RuntimeError, match="unknown platform 'tpu'"):
        pb.devices("tpu")


def test_types() -> None:
    assert str(pb.typeof(np.ones((2, 3)))) == "ShapedArray(float32[2,3])"
    assert pb.typeof(1.0) is pnp.asarray(1.0).aval
    seen: list[Any] = []
    pb.vmap(lambda x: seen.append(pb.typeof(x)) or x)(np.ones((2, 3), np.float32))
    assert seen[0].shape == (3,)


def test_names() -> None:
    def f(x: Any) -> Any:
        with pb.named_scope("inner"):
            return x * 2

    named = pb.named_call(f, name="step")
    assert named.__name__ == "step" and float(named(2.0)) == 4.0
    assert "name=step" in str(pb.make_jaxpr(pb.jit(named))(1.0))
    with pytest.raises(TypeError, match="named_scope expects a string, got 3"), pb.named_scope(3):  # type: ignore[arg-type]
        pass


def test_caches_and_live_arrays() -> None:
    assert pb.live_arrays() == []
    pb.clear_caches()


def test_every_public_name_exists_and_most_are_jax_names() -> None:
    for name in pb.__all__:
        assert hasattr(pb, name), name
    shared = [n for n in pb.__all__ if hasattr(jax, n)]
    assert len(shared) > 40
