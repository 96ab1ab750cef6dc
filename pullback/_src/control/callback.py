"""Callbacks: calling Python from traced code (`pure_callback`, `io_callback`, `debug.print`, ...)."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array, wrap
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from ..core.trace import EVAL, using
from ..ops.structural import broadcast_in_dim, moveaxis, reshape
from ..transforms.batch import Axis
from .common import name_of, to_arrays

pure_callback_p = Primitive("pure_callback", multiple_results=True)
io_callback_p = Primitive("io_callback", multiple_results=True, effectful=True)
debug_callback_p = Primitive("debug_callback", multiple_results=True, effectful=True)

_VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


# Arguments and results ---------------------------------------------------------------------------------


def _results_of(
    name: str, callback: Callable[..., Any], result_shape_dtypes: Any
) -> tuple[list[ShapedArray], Any]:
    leaves, tree = pytree.flatten(result_shape_dtypes)
    avals = []
    for leaf in leaves:
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")) and not isinstance(
            leaf, (bool, int, float, complex)
        ):
            raise TypeError(
                f"{name} of {name_of(callback)}: result_shape_dtypes must hold objects with a shape and a "
                "dtype "
                f"(ShapeDtypeStruct, arrays), got {leaf!r} of type {type(leaf).__name__}"
            )
        shape, dtype = np.shape(leaf), getattr(leaf, "dtype", None)
        numpy_dtype = as_array(leaf).aval.dtype if dtype is None else dtypes.as_numpy_dtype(dtype)
        avals.append(shaped_array(tuple(shape), dtypes.canonicalize_dtype(numpy_dtype)))
    return avals, tree


def _receive(
    name: str, callback: Any, out: Any, tree: Any, avals: Sequence[ShapedArray]
) -> list[ConcreteArray]:
    """What a callback returned, checked and converted."""
    leaves, found = pytree.flatten(out)
    if found != tree:
        difference = pytree.explain_structure_difference(tree, found, "result_shape_dtypes", "the result")
        raise StructureError(
            f"{name}: {name_of(callback)} must return a result of the structure of result_shape_dtypes: "
            f"{difference}"
        )
    return [
        _received(name, callback, leaf, aval, i, tree)
        for i, (leaf, aval) in enumerate(zip(leaves, avals, strict=True))
    ]


def _received(name: str, callback: Any, leaf: Any, aval: ShapedArray, index: int, tree: Any) -> ConcreteArray:
    def where() -> str:
        found = pytree.tree_leaves_with_path(pytree.unflatten(tree, range(tree.num_leaves)))
        path = next((pytree.keystr(p) for p, i in found if i == index), "")
        return f"{name}: the result{path} of {name_of(callback)}"

    if isinstance(leaf, ConcreteArray):
        value = leaf
    else:
        try:
            data = np.asarray(leaf)
        except Exception as error:
            raise TypeError(f"{where()} is {leaf!r}, which is no array: {error}") from error
        if isinstance(leaf, (bool, int, float, complex)) and np.can_cast(data.dtype, aval.dtype, "same_kind"):
            data = data.astype(aval.dtype)
        if data.dtype.kind in "OUSMm":
            raise DTypeError(f"{where()} is {leaf!r}, which is no array of numbers")
        value = wrap(np.array(data, dtypes.canonicalize_value_dtype(data.dtype), order="C"))
    if value.aval.shape != aval.shape:
        raise ShapeError(
            f"{where()} has shape {value.aval.shape}, but result_shape_dtypes says {aval.str_short(False)}"
        )
    if value.aval.dtype != aval.dtype:
        raise DTypeError(
            f"{where()} has dtype {dtypes.dtype_name(value.aval.dtype)}, but result_shape_dtypes says "
            f"{aval.str_short(False)}; convert it in the callback, e.g. with .astype"
        )
    return wrap(value._data) if value.aval.weak_type else value


# pure_callback -------------------------------------------------------------------------------------------


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    vectorized: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Call a pure Python function (NumPy code, say) from traced code.

    Args:
        callback: takes arrays and returns a pytree of arrays or numbers. It must be pure: it may be called
            any number of times, or not at all if nothing uses its results.
        result_shape_dtypes: the results' types, as a pytree of objects with `shape` and `dtype`.
        args, kwargs: pytrees of arrays and numbers to pass to the callback.
        sharding: accepted for compatibility and ignored.
        vmap_method: what `vmap` does: `"sequential"` calls once for each element; `"expand_dims"` and
            `"broadcast_all"` call once with a leading axis on all arguments (of size 1, or repeated, where an
            argument is not mapped); None makes vmap raise an error.
        vectorized: the older spelling: True is `vmap_method="legacy_vectorized"`, False `"sequential"`.

    Raises:
        ValueError: `vmap_method` is unknown.
        TypeError: the callback's result differs from `result_shape_dtypes` in structure, shape or dtype.
    """
    if vectorized is not None:
        vmap_method = "legacy_vectorized" if vectorized else "sequential"
    if vmap_method is not None and vmap_method not in _VMAP_METHODS:
        raise ValueError(
            f"pure_callback: vmap_method must be one of {', '.join(_VMAP_METHODS)}, or None; got "
            f"{vmap_method!r}"
        )
    avals, result_tree = _results_of("pure_callback", callback, result_shape_dtypes)
    leaves, in_tree = pytree.flatten((args, kwargs))
    operands = to_arrays(leaves, in_tree, f"pure_callback of {name_of(callback)}")
    outs = pure_callback_p.bind(
        *operands,
        callback=_Callback("pure_callback", callback, in_tree, result_tree),
        result_avals=tuple(avals),
        vmap_method=vmap_method,
    )
    return pytree.unflatten(result_tree, outs)


class _Callback:
    """The Python function of `pure_callback` and `io_callback`, with its trees."""

    __slots__ = ("kind", "function", "in_tree", "result_tree", "__name__")

    def __init__(self, kind: str, function: Callable[..., Any], in_tree: Any, result_tree: Any) -> None:
        self.kind = kind
        self.function = function
        self.in_tree = in_tree
        self.result_tree = result_tree
        self.__name__ = name_of(function)

    def __call__(self, args: Sequence[ConcreteArray], avals: Sequence[ShapedArray]) -> list[ConcreteArray]:
        given, kwargs = pytree.unflatten(self.in_tree, args)
        with using(EVAL):
            out = self.function(*given, **kwargs)
        return _receive(self.kind, self.function, out, self.result_tree, avals)


class _Sequential:
    """A callback called once for each element of a mapped axis."""

    __slots__ = ("inner", "dims", "size", "__name__")

    def __init__(self, inner: Any, dims: Sequence[int | None], size: int) -> None:
        self.inner = inner
        self.dims = tuple(dims)
        self.size = size
        self.__name__ = inner.__name__

    def __call__(self, args: Sequence[ConcreteArray], avals: Sequence[ShapedArray]) -> list[ConcreteArray]:
        element_avals = [shaped_array(a.shape[1:], a.dtype) for a in avals]
        outs = [np.empty(a.shape, a.dtype) for a in avals]
        for i in range(self.size):
            element = [a if d is None else _take(a, d, i) for a, d in zip(args, self.dims, strict=True)]
            for out, value in zip(outs, self.inner(element, element_avals), strict=True):
                out[i] = value._data
        return [wrap(o) for o in outs]


def _take(array: ConcreteArray, dim: int, index: int) -> ConcreteArray:
    data = array._data[(slice(None),) * dim + (index,)]
    return wrap(np.array(data, order="C"), array.aval.weak_type)


def _evaluate(*args: Any, callback: Any, result_avals: tuple[ShapedArray, ...], **params: Any) -> list[Any]:
    return callback(args, result_avals)


def _abstract(*avals: ShapedArray, result_avals: tuple[ShapedArray, ...], **params: Any) -> list[ShapedArray]:
    return list(result_avals)


def _mapped_avals(axis: Axis, avals: Sequence[ShapedArray]) -> tuple[ShapedArray, ...]:
    return tuple(shaped_array((axis.size, *a.shape), a.dtype) for a in avals)


def _pure_batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    callback: Any,
    result_avals: tuple[ShapedArray, ...],
    vmap_method: str | None,
) -> tuple[list[Any], list[int]]:
    if vmap_method is None:
        raise NotImplementedError(
            f"vmap of pure_callback needs to know how {callback.__name__} takes batches: pass vmap_method="
            f"{' or '.join(repr(m) for m in _VMAP_METHODS if m != 'legacy_vectorized')} to pure_callback. "
            "Got None."
        )
    if vmap_method.startswith("sequential"):
        callback = _Sequential(callback, dims, axis.size)
    else:
        values = [_leading(v, d, axis, vmap_method) for v, d in zip(values, dims, strict=True)]
    outs = pure_callback_p.bind(
        *values, callback=callback, result_avals=_mapped_avals(axis, result_avals), vmap_method=vmap_method
    )
    return outs, [0] * len(outs)


def _leading(value: Any, dim: int | None, axis: Axis, method: str) -> Any:
    if dim is not None:
        return moveaxis(value, dim, 0)
    shape = value.aval.shape
    if method == "expand_dims":
        return reshape(value, (1, *shape))
    if method == "broadcast_all":
        return broadcast_in_dim(value, (axis.size, *shape), tuple(range(1, len(shape) + 1)))
    return value


for _primitive in (pure_callback_p, io_callback_p):
    rules.evaluate[_primitive] = _evaluate
    rules.abstract[_primitive] = _abstract
    rules.not_differentiable[_primitive] = (
        "nothing is known about a Python function's derivative; a custom_jvp or custom_vjp rule may call it"
    )
    rules.not_transposable[_primitive] = "it has no derivative"
rules.batch[pure_callback_p] = _pure_batch


# io_callback ---------------------------------------------------------------------------------------------


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function that has effects from traced code: exactly once, even if nothing uses its
    results.

    Args:
        callback: takes arrays and returns a pytree of arrays or numbers.
        result_shape_dtypes: the results' types, as a pytree of objects with `shape` and `dtype`.
        args, kwargs: pytrees of arrays and numbers to pass to the callback.
        sharding: accepted for compatibility and ignored.
        ordered: calls must happen in the order in which they were written; excludes vmap.

    Raises:
        TypeError: the callback's result differs from `result_shape_dtypes` in structure, shape or dtype.
    """
    avals, result_tree = _results_of("io_callback", callback, result_shape_dtypes)
    leaves, in_tree = pytree.flatten((args, kwargs))
    operands = to_arrays(leaves, in_tree, f"io_callback of {name_of(callback)}")
    outs = io_callback_p.bind(
        *operands,
        callback=_Callback("io_callback", callback, in_tree, result_tree),
        result_avals=tuple(avals),
        ordered=ordered,
    )
    return pytree.unflatten(result_tree, outs)


def _io_batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    callback: Any,
    result_avals: tuple[ShapedArray, ...],
    ordered: bool,
) -> tuple[list[Any], list[int]]:
    if ordered:
        raise ValueError(
            f"vmap of an ordered io_callback ({callback.__name__}): the order of calls over the mapped axis "
            "is not "
            "defined. Pass ordered=False, or use lax.scan or lax.map instead of vmap."
        )
    outs = io_callback_p.bind(
        *values,
        callback=_Sequential(callback, dims, axis.size),
        result_avals=_mapped_avals(axis, result_avals),
        ordered=False,
    )
    return outs, [0] * len(outs)


rules.batch[io_callback_p] = _io_batch


# debug.callback and debug.print ----------------------------------------------------------------------------


class _DebugFunction:
    """The Python function of `debug.callback`, with the arguments that are not arrays."""

    __slots__ = ("function", "tree", "static", "holes", "__name__")

    def __init__(self, function: Callable[..., Any], tree: Any, static: list[Any], holes: list[int]) -> None:
        self.function = function
        self.tree = tree
        self.static = static
        self.holes = holes
        self.__name__ = name_of(function)

    def __call__(self, args: Sequence[ConcreteArray], avals: Sequence[ShapedArray]) -> list[ConcreteArray]:
        leaves = list(self.static)
        for hole, value in zip(self.holes, args, strict=True):
            leaves[hole] = value
        given, kwargs = pytree.unflatten(self.tree, leaves)
        with using(EVAL):
            self.function(*given, **kwargs)
        return []


def debug_callback(
    callback: Callable[..., Any], *args: Any, ordered: bool = False, partitioned: bool = False, **kwargs: Any
) -> None:
    """Call a Python function for its effects, under every transformation.

    Differentiation passes the values and ignores the derivative; `vmap` calls once for each element.

    Args:
        callback: its result is ignored.
        args, kwargs: arguments: pytrees of arrays, numbers, and other objects, which are passed as they are.
        ordered: calls must happen in the order in which they were written.
        partitioned: accepted for compatibility and ignored.
    """
    if not callable(callback):
        raise TypeError(
            f"debug.callback expects a function, got {callback!r} of type {type(callback).__name__}"
        )
    leaves, tree = pytree.flatten((args, kwargs))
    holes = [i for i, v in enumerate(leaves) if _is_array(v)]
    operands = [as_array(leaves[i]) for i in holes]
    static = [None if _is_array(v) else v for v in leaves]
    debug_callback_p.bind(*operands, callback=_DebugFunction(callback, tree, static, holes), ordered=ordered)


def _is_array(value: Any) -> bool:
    return isinstance(value, (Array, np.ndarray, np.generic, bool, int, float, complex))


class _CheckingFormatter(string.Formatter):
    """Complains about arguments that the format string does not use."""

    def check_unused_args(self, used_args: Any, args: Any, kwargs: Any) -> None:
        unused = [i for i in range(len(args)) if i not in used_args]
        if unused:
            raise ValueError(
                "debug.print: the format string does not use the positional "
                f"argument{'s' if len(unused) > 1 else ''} "
                f"{', '.join(map(str, unused))}; add {{}} for each"
            )
        names = [k for k in kwargs if k not in used_args]
        if names:
            raise ValueError(
                f"debug.print: the format string does not use {', '.join(names)}; add {{name}} for each"
            )


_formatter = _CheckingFormatter()


class _AnyFormat:
    """Stands for a value while a format string is checked."""

    def __format__(self, spec: str) -> str:
        return ""

    def __getattr__(self, name: str) -> Any:
        return self

    def __getitem__(self, index: Any) -> Any:
        return self


def debug_print(
    fmt: str,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> None:
    """Print values, also of traced code: when the code runs, not when it is traced.

    Args:
        fmt: a format string as of `str.format`, such as `"x = {x}"`; not an f-string.
        args, kwargs: values for it.
        ordered: lines must appear in the order in which the calls were written.
        partitioned: accepted for compatibility and ignored.
        skip_format_check: do not check that the format string uses all arguments.

    Raises:
        ValueError: the format string does not use an argument, or an f-string was passed that leaves none to
            use.
        KeyError, IndexError: it names an argument that was not passed.

    Example:
        >>> pb.jit(lambda x: pb.debug.print("x = {x:.2f}", x=x))(1.0)
        x = 1.00
    """
    if not isinstance(fmt, str):
        raise TypeError(
            f"debug.print expects a format string first, got {fmt!r} of type {type(fmt).__name__}"
        )
    if not skip_format_check:
        stand_in = _AnyFormat()
        _formatter.vformat(fmt, [stand_in] * len(args), dict.fromkeys(kwargs, stand_in))

    def show(*values: Any, **named: Any) -> None:
        print(fmt.format(*values, **named))

    show.__name__ = f"print({fmt!r})"
    debug_callback(show, *args, ordered=ordered, partitioned=partitioned, **kwargs)


def _debug_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Zero]]:
    debug_callback_p.bind(*primals, **params)
    return [], []


def _debug_batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, callback: Any, ordered: bool
) -> tuple[list[Any], list[int]]:
    debug_callback_p.bind(*values, callback=_Sequential(callback, dims, axis.size), ordered=ordered)
    return [], []


rules.evaluate[debug_callback_p] = lambda *args, callback, ordered: callback(args, ())
rules.abstract[debug_callback_p] = lambda *avals, callback, ordered: []
rules.jvp[debug_callback_p] = _debug_jvp
rules.batch[debug_callback_p] = _debug_batch
rules.not_transposable[debug_callback_p] = "it has no results, so that no cotangent ever reaches it"
