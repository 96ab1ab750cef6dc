"""Small functions of the top namespace: stop_gradient, devices, transfers, names."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..base import pytree
from ..core.array import Array, ConcreteArray
from ..core.aval import ShapedArray
from ..lib.numpy.promotion import asarray
from ..ops.convert import stop_gradient_array
from .common import name_of
from .stage import abstractify


def stop_gradient(x: Any) -> Any:
    """The value itself, treated as a constant by differentiation.

    Args:
        x: a pytree of arrays; leaves that are no arrays are returned unchanged.
    """
    if isinstance(x, Array):
        return stop_gradient_array(x)
    return pytree.tree_map(lambda v: stop_gradient_array(v) if _is_numeric(v) else v, x)


def _is_numeric(value: Any) -> bool:
    return isinstance(value, (Array, np.ndarray, np.generic, int, float, complex))


class Device:
    """A device that computes: here, the CPU of this process."""

    def __init__(self, number: int = 0) -> None:
        self.id = number
        self.platform = "cpu"
        self.device_kind = "cpu"
        self.process_index = 0

    @property
    def client(self) -> Device:
        return self

    def __repr__(self) -> str:
        return f"CpuDevice(id={self.id})"


@functools.cache
def _cpu() -> Device:
    return Device()


def devices(backend: str | None = None) -> list[Device]:
    """The devices of a platform ("cpu", the default, is the only one).

    Raises:
        RuntimeError: there is no such platform.
    """
    if backend not in (None, "cpu"):
        raise RuntimeError(f"unknown platform {backend!r}: this installation computes on 'cpu'")
    return [_cpu()]


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices of this process."""
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    """The number of devices."""
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """The number of devices of this process."""
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    """The index of this process among those that compute together."""
    return 0


def process_count(backend: str | None = None) -> int:
    """The number of processes that compute together."""
    return 1


def default_backend() -> str:
    """The name of the default platform."""
    return "cpu"


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: bool = False, may_alias: bool | None = None
) -> Any:
    """A pytree of numbers and NumPy arrays as one of arrays."""
    return pytree.tree_map(asarray, x)


def device_get(x: Any) -> Any:
    """A pytree of arrays as one of NumPy arrays."""
    return pytree.tree_map(lambda v: np.asarray(v) if isinstance(v, Array) else v, x)


def block_until_ready(x: Any) -> Any:
    """Wait until all arrays of a pytree are computed, and return it."""
    for leaf in pytree.leaves_of(x):
        if isinstance(leaf, ConcreteArray):
            leaf.block_until_ready()
    return x


def typeof(x: Any) -> ShapedArray:
    """The type (shape, dtype, weak type) of an array, tracer or number."""
    return abstractify(x)


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """`fun` under another name in programs and messages."""

    @functools.wraps(fun)
    def called(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)

    called.__name__ = name or name_of(fun)
    return called


@contextlib.contextmanager
def named_scope(name: str) -> Iterator[None]:
    """Group the operations of a block under a name (accepted; programs do not show it)."""
    if not isinstance(name, str):
        raise TypeError(f"named_scope expects a string, got {name!r}")
    yield


def live_arrays(platform: str | None = None) -> list[Any]:
    """Arrays that are alive are not tracked on the CPU: the list is empty."""
    return []


def clear_caches() -> None:
    """Accepted for compatibility: traced programs belong to the functions that made them and go with them."""
