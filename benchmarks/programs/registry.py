"""What a benchmark program is, and the list of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Inputs = Callable[[np.random.Generator], tuple[Any, ...]]
Make = Callable[[Any], Callable[..., Any]]

TABLE = "table"
GROWTH = "growth"


@dataclass(frozen=True)
class Program:
    """A program in one text for both libraries.

    Attributes:
      name: what `--only` takes.
      title: the row's title.
      group: `TABLE` for the programs whose required times are stated, else the kind of program.
      make: from a library (`jax` or `pullback`, submodules imported) to a new function to be compiled.
      inputs: from a generator to the function's arguments, pytrees of NumPy arrays.
      stated: JAX's and the required microseconds, which together give the ratio required.
      like: the table's program whose ratio is required of this one.
      tolerance: the largest difference of results, relative to the largest entry of the array.
      x64: whether the program runs with 64-bit types.
      partitionable: which stream of random numbers is drawn (the libraries' defaults differ).
      length: of a program in a growing series (group `GROWTH`), in which nothing is required of the run time.
    """

    name: str
    title: str
    group: str
    make: Make
    inputs: Inputs
    stated: tuple[float, float] | None = None
    like: str | None = None
    tolerance: float = 2e-5
    x64: bool = False
    partitionable: bool = True
    length: int | None = None

    @property
    def required_ratio(self) -> float | None:
        """How many times faster than JAX the program must run."""
        stated = self.stated if self.like is None else PROGRAMS[self.like].stated
        return stated[0] / stated[1] if stated is not None else None


PROGRAMS: dict[str, Program] = {}


def add(new: Program) -> None:
    """Add a program to the list.

    Raises:
      ValueError: if there is a program of this name.
    """
    if new.name in PROGRAMS:
        raise ValueError(f"there are two programs {new.name}")
    PROGRAMS[new.name] = new


def program(
    name: str,
    title: str,
    inputs: Inputs,
    *,
    group: str = TABLE,
    stated: tuple[float, float] | None = None,
    like: str | None = None,
    tolerance: float | None = None,
    x64: bool = False,
    partitionable: bool = True,
) -> Callable[[Make], Make]:
    """Add the decorated maker to the list; the arguments are `Program`'s.

    Args:
      stated: needed for a table's program.
      like: needed for all others.
      tolerance: by default 2e-5, and 1e-11 with 64-bit types.
    """
    if (stated is None) == (like is None) or (stated is None) == (group == TABLE):
        raise ValueError(f"{name}: a table's program needs stated times, any other a model")
    if tolerance is None:
        tolerance = 1e-11 if x64 else 2e-5

    def register(make: Make) -> Make:
        add(Program(name, title, group, make, inputs, stated, like, tolerance, x64, partitionable))
        return make

    return register


def normals(*shapes: tuple[int, ...], dtype: type = np.float32) -> Inputs:
    """Arguments drawn from the standard normal distribution."""
    return lambda generator: tuple(generator.standard_normal(shape).astype(dtype) for shape in shapes)


def uniforms(
    *shapes: tuple[int, ...], low: float = 0.0, high: float = 1.0, dtype: type = np.float32
) -> Inputs:
    """Arguments drawn from a uniform distribution."""
    return lambda generator: tuple(generator.uniform(low, high, shape).astype(dtype) for shape in shapes)


def key(seed: int) -> np.ndarray[Any, Any]:
    """A raw random key."""
    return np.array([0, seed], np.uint32)
