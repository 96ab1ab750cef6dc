"""From what users pass to arrays of one dtype.

`lax`-level operations want arrays of one dtype; functions of `numpy` accept numbers and mixed dtypes and
promote by JAX's lattice, in which Python numbers are weakly typed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.config import settings
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, from_numpy, python_scalar, scalar, wrap
from ...core.aval import shaped_array
from ...core.kinds import kind
from ...core.trace import Tracer
from ...ops.convert import convert_element_type, convert_element_type_p
from ...ops.joining import concatenate
from ...ops.structural import expand_dims

__all__ = ["asarray", "check_arraylike", "promote", "promote_dtypes", "promote_inexact", "strengthen"]

_PYTHON_NUMBERS = (int, float, complex)


def is_number(x: Any) -> bool:
    """Whether x is a Python number (bool included); NumPy's scalars are typed, so they are not."""
    return isinstance(x, _PYTHON_NUMBERS) and not isinstance(x, np.generic)


def is_arraylike(x: Any) -> bool:
    return (
        isinstance(x, (Array, np.ndarray, np.generic, *_PYTHON_NUMBERS))
        or hasattr(type(x), "__jax_array__")
        or hasattr(type(x), "__pullback_array__")
    )


def check_arraylike(name: str, *xs: Any) -> None:
    """Raise a TypeError for the first argument that is neither an array nor a number.

    Lists are refused: converting them one number at a time is slow and hides mistakes.
    """
    for position, x in enumerate(xs):
        if type(x) is not ConcreteArray and not is_arraylike(x):
            raise TypeError(
                f"{name} requires arrays or numbers, got {type(x)} at position {position}."
                + (
                    " Convert lists and tuples with numpy.array first."
                    if isinstance(x, (list, tuple))
                    else ""
                )
            )


def arraylike(name: str, x: Any, out: Any = None) -> Any:
    """A number or an array (no list) as an `Array`, and the refusal of an argument `out`.

    Raises:
        TypeError: neither a number nor an array.
        NotImplementedError: `out` is given.
    """
    if out is not None:
        refuse_out(name, out)
    if isinstance(x, Array):
        return x
    check_arraylike(name, x)
    return as_array(x, name=name)


def refuse_out(name: str, out: Any) -> None:
    """Raise a NotImplementedError if `out` is given: NumPy writes into it, and arrays here do not change."""
    if out is not None:
        raise NotImplementedError(
            f"{name} does not support the argument 'out', since arrays are immutable; use the result"
        )


def promote(name: str, *xs: Any) -> list[Any]:
    """The arguments as arrays of one dtype, by the promotion lattice.

    Raises:
        TypeError: an argument is no array or number, or the promotion is not allowed.
    """
    if len(xs) == 2:
        x, y = xs
        if isinstance(x, Array):
            dtype = x.aval.dtype
            if isinstance(y, Array):
                if y.aval.dtype is dtype:
                    return [x, y]
            elif (type(y) is float and kind(dtype) in "fc") or (type(y) is int and kind(dtype) in "iufc"):
                return [x, scalar(y, dtype)]
        elif isinstance(y, Array):
            dtype = y.aval.dtype
            if (type(x) is float and kind(dtype) in "fc") or (type(x) is int and kind(dtype) in "iufc"):
                return [scalar(x, dtype), y]
    elif len(xs) == 1 and isinstance(xs[0], Array):
        return [xs[0]]
    if len(xs) == 2 and isinstance(x, Array) and isinstance(y, Array):
        a, b = x.aval, y.aval
        dtype, weak = dtypes.lattice_result_type((a.dtype, a.weak_type), (b.dtype, b.weak_type))
        return [
            x if a.dtype is dtype else convert_element_type_p.bind(x, new_dtype=dtype, weak_type=weak),
            y if b.dtype is dtype else convert_element_type_p.bind(y, new_dtype=dtype, weak_type=weak),
        ]
    check_arraylike(name, *xs)
    return _to(name, xs, inexact=False)


def promote_inexact(name: str, *xs: Any) -> list[Any]:
    """Like `promote`, but integers and bools become the default float dtype."""
    if len(xs) == 1 and isinstance(xs[0], Array) and kind(xs[0].aval.dtype) in "fc":
        return [xs[0]]
    if len(xs) == 2:
        x, y = xs
        x_dtype = x.aval.dtype if isinstance(x, Array) else None
        y_dtype = y.aval.dtype if isinstance(y, Array) else None
        if x_dtype is not None and kind(x_dtype) in "fc":
            if y_dtype is x_dtype:
                return [x, y]
            if type(y) is float or type(y) is int:
                return [x, scalar(y, x_dtype)]
        elif y_dtype is not None and kind(y_dtype) in "fc" and (type(x) is float or type(x) is int):
            return [scalar(x, y_dtype), y]
    check_arraylike(name, *xs)
    return _to(name, xs, inexact=True)


def promote_dtypes(*xs: Any) -> list[Any]:
    """`promote` without a function's name in its errors."""
    return promote("promotion", *xs)


def _to(name: str, xs: tuple[Any, ...], *, inexact: bool) -> list[Any]:
    described = []
    arrays = []
    for x in xs:
        if is_number(x):
            described.append((dtypes.python_scalar_dtype(type(x)), not isinstance(x, bool)))
            arrays.append(x)
        else:
            array = as_array(x, name=name)
            described.append((array.aval.dtype, array.aval.weak_type))
            arrays.append(array)
    dtype, weak = dtypes.lattice_result_type(*described)
    if inexact and kind(dtype) in "biu":
        dtype = dtypes.to_inexact_dtype(dtype)
    out = []
    for x in arrays:
        if isinstance(x, Array):
            out.append(x if x.aval.dtype == dtype else convert_element_type(x, dtype, weak_type=weak))
        elif isinstance(x, bool):
            out.append(_strong_scalar(x, dtype) if not weak else scalar(x, dtype))
        else:
            out.append(scalar(x, dtype))
    if not weak and all(a.aval.weak_type for a in out):
        out[0] = strengthen(out[0])
    return out


def _strong_scalar(value: Any, dtype: np.dtype[Any]) -> ConcreteArray:
    return ConcreteArray(np.array(value, dtype), shaped_array((), dtype))


def strengthen(x: Any) -> Any:
    """The array without a weak type."""
    return convert_element_type(x, x.aval.dtype, weak_type=False) if x.aval.weak_type else x


def weak_as(result: Any, operand: Any) -> Any:
    """The result with a weak type if the operand has one, for operations that also have strong operands."""
    return convert_element_type(result, result.aval.dtype, weak_type=operand.aval.weak_type)


def asarray(x: Any, dtype: Any = None, *, name: str = "asarray") -> Array:
    """Any array-like (numbers, NumPy arrays, nested sequences, objects with `__array__`) as an `Array`.

    Args:
        x: the value; Python numbers become weakly typed scalars unless a dtype is given.
        dtype: the result's dtype (default: that of the value, by promotion over a sequence's items).
    """
    if isinstance(x, Array):
        if dtype is None:
            return x
        return convert_element_type(x, dtypes.check_user_dtype(dtype, name))
    wanted = None if dtype is None else dtypes.check_user_dtype(dtype, name)
    if is_number(x):
        if wanted is None:
            return python_scalar(x)
        return from_numpy(_checked_scalar(x, wanted))
    if isinstance(x, (list, tuple)):
        return _from_sequence(x, wanted)
    array = as_array(x, name=name)
    return array if wanted is None else convert_element_type(array, wanted)


def _checked_scalar(x: Any, dtype: np.dtype[Any]) -> Any:
    if kind(dtype) in "iuf" and isinstance(x, complex):
        raise TypeError(
            f"a complex number cannot become {dtypes.dtype_name(dtype)}; take its real part first"
        )
    if kind(dtype) in "iu":
        return scalar(int(x), dtype)._data
    return np.asarray(x, dtype)


def _leaves(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        for item in x:
            yield from _leaves(item)
    else:
        yield x


def _from_sequence(x: Any, dtype: np.dtype[Any] | None) -> Array:
    python_type = _only_number_type(x)
    if python_type is not None:
        # Nested lists of numbers of one type, by far the most common: NumPy reads them.
        natural = dtypes.python_scalar_dtype(python_type)
        wanted = natural if dtype is None else dtype
        if wanted == natural and kind(wanted) in "bf":
            return wrap(_rectangular(x, wanted))
    leaves = list(_leaves(x))
    if not leaves:
        return from_numpy(np.array(x, dtype or dtypes.default_float_dtype()))
    if any(leaf is None for leaf in leaves):
        raise ValueError("None is not a valid value in an array; use nan for a missing number")
    if dtype is None:
        if all(type(leaf) is float for leaf in leaves):
            dtype = dtypes.default_float_dtype()
        else:
            dtype = dtypes.lattice_result_type(*[_described(leaf) for leaf in leaves])[0]
    if any(
        isinstance(leaf, Tracer) or (isinstance(leaf, Array) and dtypes.is_key(leaf.aval.dtype))
        for leaf in leaves
    ):
        return _stack(x, dtype)
    try:
        data = np.array(_to_numpy(x))
        if data.dtype.kind == "c" and kind(dtype) in "iuf":
            raise TypeError(
                f"complex numbers cannot become {dtypes.dtype_name(dtype)}; take real parts first"
            )
        if kind(dtype) in "iu" and data.dtype.kind in "iuf":
            _check_range(data, dtype)
        return from_numpy(data.astype(dtype))
    except ValueError as error:
        raise ValueError(f"a nested sequence must be rectangular to become an array: {error}") from None


def _only_number_type(x: Any) -> type | None:
    """The one type (bool, int or float) of all numbers in a list or matrix, else None."""
    found = {type(item) for item in x}
    if found == {list} or found == {tuple}:
        found = {type(item) for row in x for item in row}
    return found.pop() if len(found) == 1 and found <= {bool, int, float} else None


def _rectangular(x: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    try:
        return np.array(x, dtype)
    except ValueError as error:
        raise ValueError(f"a nested sequence must be rectangular to become an array: {error}") from None


def _described(leaf: Any) -> tuple[np.dtype[Any], bool]:
    if is_number(leaf):
        return dtypes.python_scalar_dtype(type(leaf)), not isinstance(leaf, bool)
    array = leaf if isinstance(leaf, Array) else as_array(leaf, name="array")
    return array.aval.dtype, array.aval.weak_type


def _check_range(data: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
    if not data.size:
        return
    info = dtypes.iinfo(dtype)
    if not np.isfinite(data).all():
        raise ValueError(f"infinities and NaN cannot become {dtype.name}")
    if int(data.min()) < info.min or int(data.max()) > info.max:
        raise OverflowError(f"integers outside the range of {dtype.name} ({info.min} to {info.max})")


def _to_numpy(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [_to_numpy(item) for item in x]
    if isinstance(x, ConcreteArray):
        return x._data
    return x


def _stack(x: Any, dtype: np.dtype[Any]) -> Array:
    if isinstance(x, (list, tuple)):
        parts = [_stack(item, dtype) for item in x]
        return concatenate([expand_dims(p, (0,)) for p in parts], 0)
    array = as_array(x)
    return array if dtypes.is_key(dtype) else convert_element_type(array, dtype)


def rank_promotion_is_checked() -> bool:
    """Whether the flag `numpy_rank_promotion` asks for `check_rank_promotion`."""
    return settings().numpy_rank_promotion != "allow"


def check_rank_promotion(name: str, *shapes: tuple[int, ...]) -> None:
    """Raise if operands of these shapes, beside scalars, have different ranks."""
    nonscalar = {len(s) for s in shapes if s}
    if len(nonscalar) > 1:
        raise ValueError(
            f"{name}: operands of shapes {', '.join(map(str, shapes))} have different ranks, and the flag "
            "numpy_rank_promotion forbids promoting one; reshape it explicitly"
        )
