"""Universal functions: elementwise functions that also reduce, accumulate, and act on pairs.

`add`, `multiply`, `maximum` and the like are `ufunc` objects; calling one costs no more than calling the
function inside. `frompyfunc` makes one from a function of scalars.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from .promotion import refuse_out

__all__ = ["ufunc"]

Method = Callable[..., Any]


class ufunc:
    """An elementwise function with the methods `reduce`, `accumulate`, `at`, `outer` and `reduceat`.

    Args:
        func: the function of arrays that broadcasts its `nin` arguments and returns `nout` results.
        nin: how many arguments.
        nout: how many results.
        name: the name that it is shown with (default: that of `func`).
        nargs: arguments and results together.
        identity: the number that changes nothing when combined, or None.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        nargs: int | None = None,
        identity: Any = None,
    ) -> None:
        if not callable(func):
            raise TypeError(f"ufunc expects a function; got {type(func).__name__}")
        functools.update_wrapper(self, func)
        self._function = func
        self.nin = operator.index(nin)
        self.nout = operator.index(nout)
        self.nargs = self.nin if nargs is None else nargs
        self.identity = identity
        if name is not None:
            self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__!r}>"

    def __hash__(self) -> int:
        return hash((self._function, self.nin, self.nout))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ufunc) and (self._function, self.nin, self.nout) == (
            other._function,
            other.nin,
            other.nout,
        )

    # The methods proper are set by `ufunc_methods`, which needs chapters that need this one.

    _methods: dict[str, Method] = {}  # noqa: RUF012 - filled once, by import

    def _find(self, method: str) -> Method:
        special = self.__dict__.get(f"_{method}")
        return special if special is not None else functools.partial(ufunc._methods[method], self)

    def _check(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ValueError(
                f"{self.__name__}.{method} is defined for functions of two arguments with one result; "
                f"this one has {self.nin} and {self.nout}"
            )

    def reduce(
        self,
        a: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """Combine the elements of `a` along `axis` (None: all), from the first to the last.

        Args:
            a: an array.
            axis: a dimension, a tuple of them, or None.
            dtype: the dtype to compute in.
            out: not supported.
            keepdims: whether the reduced dimensions stay, with size 1.
            initial: the value to begin with.
            where: a bool mask of the elements to include; needs an identity or `initial`.
        """
        self._check("reduce")
        refuse_out(f"{self.__name__}.reduce", out)
        return self._find("reduce")(
            a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where
        )

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """All intermediate results of combining the elements along `axis`."""
        self._check("accumulate")
        refuse_out(f"{self.__name__}.accumulate", out)
        return self._find("accumulate")(a, axis=axis, dtype=dtype)

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """A copy of `a` with the elements at `indices` combined with `b`, one after the other.

        Raises:
            NotImplementedError: unless `inplace=False`, since arrays are immutable.
        """
        if inplace:
            raise NotImplementedError(
                f"{self.__name__}.at cannot change its argument, since arrays are immutable; "
                "pass inplace=False and use the result"
            )
        return self._find("at")(a, indices, b)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of all pairs: the shape of the result is that of `A` followed by that of `B`."""
        self._check("outer")
        return self._find("outer")(A, B)

    def reduceat(self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """Reduce the slices of `a` along `axis` that begin at `indices`, each up to the next index.

        Where an index is not below the next one, the element at it alone is the result.
        """
        self._check("reduceat")
        refuse_out(f"{self.__name__}.reduceat", out)
        return self._find("reduceat")(a, indices, axis=axis, dtype=dtype)


def make_ufunc(function: Callable[..., Any], *, nin: int = 2, identity: Any = None) -> Any:
    """A `ufunc` of one result around a function of arrays, which is called without a frame of its own."""
    kind = type(function.__name__, (ufunc,), {"__call__": staticmethod(function)})
    kind.__module__ = ufunc.__module__
    kind.__qualname__ = "ufunc"
    return kind(function, nin, 1, identity=identity)
