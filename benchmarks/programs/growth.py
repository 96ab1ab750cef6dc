"""Programs of growing length, which show how the time to compile grows."""

from collections.abc import Callable
from typing import Any

from programs.registry import GROWTH, Make, Program, add, normals


def chain(lib: Any, length: int) -> Callable[..., Any]:
    """A chain of `length` elementwise operations."""
    np = lib.numpy

    def run(x: Any) -> Any:
        for i in range(length):
            x = np.cos(x) if i % 2 else x * x
        return x

    return run


def unrolled_gradient(lib: Any, length: int) -> Callable[..., Any]:
    """The gradient of a Python loop of `length` symplectic steps of pendulums."""
    np = lib.numpy

    def loss(x: Any) -> Any:
        speed = np.zeros_like(x)
        for _ in range(length):
            speed = speed - 0.01 * np.sin(x)
            x = x + 0.01 * speed
        return np.sum(x**2)

    return lib.grad(loss)


def kernels(lib: Any, length: int) -> Callable[..., Any]:
    """A chain of `length` steps each of which needs the sum of all entries of the one before."""
    np = lib.numpy

    def run(x: Any) -> Any:
        for _ in range(length):
            x = np.cos(x - np.mean(x))
        return x

    return run


def _of_length(make: Callable[[Any, int], Callable[..., Any]], length: int) -> Make:
    return lambda lib: make(lib, length)


_SERIES: tuple[tuple[str, str, Callable[[Any, int], Callable[..., Any]], tuple[int, ...], int], ...] = (
    ("chain", "unrolled chain of {:,} equations", chain, (100, 1_000, 10_000), 1_000),
    ("unrolled_gradient", "gradient of {:,} unrolled steps", unrolled_gradient, (100, 200, 400, 800), 64),
    ("kernels", "{:,} separate kernels", kernels, (10, 100, 1_000), 1_000),
)

for _name, _title, _make, _lengths, _size in _SERIES:
    for _length in _lengths:
        add(
            Program(
                name=f"{_name}_{_length}",
                title=_title.format(_length),
                group=GROWTH,
                make=_of_length(_make, _length),
                inputs=normals((_size,)),
                length=_length,
            )
        )
