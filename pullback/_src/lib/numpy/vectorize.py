"""Functions of small arrays made into functions of large ones: `vectorize`, `frompyfunc`."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...base.pytree import tree_leaves
from ...ops.structural import reshape
from .mapping import mapped
from .promotion import asarray
from .ufunc import ufunc

__all__ = ["frompyfunc", "vectorize"]

Dimensions = tuple[str, ...]

_NAME = r"\w+"
_CORE = rf"\(\s*(?:{_NAME}(?:\s*,\s*{_NAME})*\s*,?)?\s*\)"
_CORES = rf"{_CORE}(?:\s*,\s*{_CORE})*"
_SIGNATURE = re.compile(rf"^\s*(?:{_CORES})?\s*->\s*{_CORES}\s*$")


def parse_signature(signature: str) -> tuple[list[Dimensions], list[Dimensions]]:
    """The names of the core dimensions of arguments and results, from a text like "(n,k),(k)->(n)".

    Raises:
        ValueError: the text is no signature.
    """
    if not isinstance(signature, str) or not _SIGNATURE.match(signature):
        raise ValueError(f"not a valid gufunc signature: {signature!r}; write for example '(n,k),(k)->(n)'")
    left, right = (
        [tuple(re.findall(_NAME, core)) for core in re.findall(_CORE, side)] for side in signature.split("->")
    )
    return left, right


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Collection[int | str] = frozenset(), signature: str | None = None
) -> Callable[..., Any]:
    """A function that maps `pyfunc` over the leading dimensions of its arguments, which broadcast.

    The function is called once, mapped as by `vmap`, not in a loop.

    Args:
        pyfunc: a function of scalars, or of arrays whose dimensions `signature` names.
        excluded: positions and names of arguments that are handed over as they are (as is None).
        signature: core dimensions of arguments and results, like "(n,k),(k)->(n)".

    Raises:
        ValueError: negative positions in `excluded`, or an invalid signature.
    """
    if not callable(pyfunc):
        raise TypeError(f"vectorize expects a function; got {type(pyfunc).__name__}")
    if any(not isinstance(e, (int, str)) for e in excluded):
        raise TypeError(f"vectorize: excluded holds positions and names of arguments; got {excluded!r}")
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise ValueError(f"vectorize: excluded={excluded!r} contains negative positions; count from the left")
    cores = None if signature is None else parse_signature(signature)

    @functools.wraps(pyfunc)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        mapped_positions = [i for i, a in enumerate(args) if i not in excluded and a is not None]
        mapped_names = [name for name, v in kwargs.items() if name not in excluded and v is not None]
        given = [asarray(args[i]) for i in mapped_positions] + [asarray(kwargs[n]) for n in mapped_names]

        def function(*values: Any) -> Any:
            full_args, full_kwargs = list(args), dict(kwargs)
            for i, value in zip(mapped_positions, values, strict=False):
                full_args[i] = value
            full_kwargs.update(zip(mapped_names, values[len(mapped_positions) :], strict=True))
            return pyfunc(*full_args, **full_kwargs)

        return _apply(function, given, cores, f"vectorize({getattr(pyfunc, '__name__', 'function')})")

    return vectorized


def _apply(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    cores: tuple[list[Dimensions], list[Dimensions]] | None,
    name: str,
) -> Any:
    inputs = [()] * len(arrays) if cores is None else cores[0]
    if len(inputs) != len(arrays):
        raise TypeError(f"{name}: expected {len(inputs)} arguments by its signature, got {len(arrays)}")
    sizes: dict[str, int] = {}
    loops: list[tuple[int, ...]] = []
    for position, (array, names) in enumerate(zip(arrays, inputs, strict=True)):
        shape = array.aval.shape
        if len(shape) < len(names):
            raise ShapeError(
                f"{name}: argument {position} of shape {shape} has too few dimensions for its core "
                f"dimensions ({', '.join(names)})"
            )
        split = len(shape) - len(names)
        loops.append(shape[:split])
        _check_core(name, f"argument {position}", names, shape[split:], sizes)
    try:
        loop = np.broadcast_shapes(*loops)
    except ValueError:
        raise ShapeError(
            f"{name}: the leading dimensions {', '.join(map(str, loops))} do not broadcast together"
        ) from None

    def checked(*values: Any) -> Any:
        out = function(*values)
        if cores is not None:
            results = [out] if len(cores[1]) == 1 and not isinstance(out, (tuple, list)) else tree_leaves(out)
            if len(results) != len(cores[1]):
                raise TypeError(
                    f"{name}: expected {len(cores[1])} results by its signature, got {len(results)}"
                )
            for position, (result, names) in enumerate(zip(results, cores[1], strict=True)):
                shape = asarray(result).aval.shape
                if len(shape) != len(names):
                    raise ShapeError(
                        f"{name}: result {position} of shape {shape} does not match core dimensions {names}"
                    )
                _check_core(name, f"result {position}", names, shape, sizes)
        return out

    return _map_loop(checked, arrays, loops, loop)


def _check_core(
    name: str, what: str, names: Dimensions, shape: tuple[int, ...], sizes: dict[str, int]
) -> None:
    for dimension, size in zip(names, shape, strict=True):
        expected = int(dimension) if dimension.isdigit() else sizes.setdefault(dimension, size)
        if expected != size:
            raise ShapeError(
                f"{name}: {what} has size {size} in the core dimension {dimension!r}, expected {expected}"
            )


def _map_loop(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    loops: Sequence[tuple[int, ...]],
    loop: tuple[int, ...],
) -> Any:
    """Map `function` over the broadcast loop dimensions, the first of which is the outermost."""
    if not loop:
        return function(*arrays)
    values, dims, rest = [], [], []
    for array, own in zip(arrays, loops, strict=True):
        dim = None
        if len(own) == len(loop):
            shape = array.aval.shape
            if own[0] == loop[0]:
                dim = 0
            else:  # size 1, repeated
                array = reshape(array, shape[1:])
            own = own[1:]
        values.append(array)
        dims.append(dim)
        rest.append(own)
    return mapped(lambda *inner: _map_loop(function, inner, rest, loop[1:]), values, dims, loop[0])


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A `ufunc` from a function of `nin` scalars with `nout` results.

    Args:
        func: a function of scalars, built from array operations.
        nin: how many arguments.
        nout: how many results.
        identity: the number that changes nothing when combined, or None.
    """
    nin = operator.index(nin)
    vectorized = vectorize(func)

    @functools.wraps(func)
    def call(*args: Any) -> Any:
        if len(args) != nin:
            raise TypeError(
                f"{getattr(func, '__name__', 'function')} expects {nin} arguments, got {len(args)}"
            )
        return vectorized(*args)

    return ufunc(call, nin, nout, identity=identity)
