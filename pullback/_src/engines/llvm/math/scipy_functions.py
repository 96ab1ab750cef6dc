"""Special functions that have no vector code: SciPy's scalar ones, called lane by lane from native code.

`scipy.special.cython_special` exports C function pointers. Programs name them; `symbols` finds their
addresses when a program is linked, which is when SciPy is imported. They run without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from ..ir import Emitter, Value
from ..jit import CompileError
from .base import through_double

PREFIX = "pb_scipy_"
_SCALAR = "double (double"
_POINTERS = "void (double, double *, double *"
# By our name: SciPy's, and how the type of the pointer begins. The last parameter is Cython's, always 0.
_EXPORTS = {
    "gammainc": ("gammainc", _SCALAR),
    "gammaincc": ("gammaincc", _SCALAR),
    "betainc": ("__pyx_fuse_0betainc", _SCALAR),
    "dawsn": ("__pyx_fuse_1dawsn", _SCALAR),
    "expi": ("__pyx_fuse_1expi", _SCALAR),
    "expn": ("__pyx_fuse_0expn", _SCALAR),
    "spence": ("__pyx_fuse_1spence", _SCALAR),
    "jv": ("__pyx_fuse_1jv", _SCALAR),
    "hyp1f1": ("__pyx_fuse_1hyp1f1", _SCALAR),
    "hyp2f1": ("__pyx_fuse_1hyp2f1", _SCALAR),
    "owens_t": ("owens_t", _SCALAR),
    "sici": ("__pyx_fuse_1sici", _POINTERS),
    "fresnel": ("__pyx_fuse_1fresnel", _POINTERS),
}


@cache
def _address(name: str) -> int:
    from scipy.special import cython_special

    exported, beginning = _EXPORTS[name]
    capsule = cython_special.__pyx_capi__.get(exported)
    api = ctypes.pythonapi
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    signature = b"" if capsule is None else get_name(capsule)
    if not signature.startswith(beginning.encode()):
        raise CompileError(
            f"this version of SciPy does not export {exported} as {beginning}...); it has {signature!r}"
        )
    address = get_pointer(capsule, signature)
    assert address is not None
    return address


def symbols(names: Iterable[str]) -> dict[str, int]:
    """The addresses of those functions that are among the names, for `jit.link`."""
    return {n: _address(n.removeprefix(PREFIX)) for n in names if n.startswith(PREFIX)}


def each_lane(e: Emitter, xs: Sequence[Value], call: Callable[..., Value]) -> Value:
    """`call` on the scalars of each lane; it may only write instructions that stay in place."""
    lanes = max(x.lanes for x in xs)
    if lanes == 1:
        return call(*xs)
    xs = [e.splat(x, lanes) for x in xs]
    loop, done = e.fresh("lane"), e.fresh("join")
    before = e.scope.label
    e.line(f"br label %{loop}")
    e.label(loop)
    index, following, result = ("%" + e.fresh() for _ in range(3))
    e.line(f"{index} = phi i64 [0, %{before}], [{following}, %{loop}]")
    kind = f"<{lanes} x double>"
    sofar = e.here(f"phi {kind} [poison, %{before}], [{result}, %{loop}]", "double", lanes)
    y = call(*[e.here(f"extractelement {x.typed}, i64 {index}", x.elem, 1) for x in xs])
    e.line(f"{result} = insertelement {sofar.typed}, {y.typed}, i64 {index}")
    e.line(f"{following} = add nuw nsw i64 {index}, 1")
    end = e.here(f"icmp eq i64 {following}, {lanes}", "i1", 1)
    e.line(f"br i1 {end.name}, label %{done}, label %{loop}")
    e.label(done)
    return Value(result, "double", lanes, e.level)


def scalar(name: str) -> Callable[..., Value]:
    """The function `double f(double, ...)` of SciPy for values of any number of lanes."""

    @through_double
    def function(e: Emitter, *xs: Value) -> Value:
        e.module.declare(PREFIX + name, "double", ["double"] * len(xs) + ["i32"])

        def call(*scalars: Value) -> Value:
            operands = ", ".join(x.typed for x in scalars)
            return e.here(f"call double @{PREFIX}{name}({operands}, i32 0)", "double", 1)

        return each_lane(e, xs, call)

    return function


def one_of_two(name: str, index: int) -> Callable[..., Value]:
    """One of the results of `void f(double, double *, double *)`."""

    @through_double
    def function(e: Emitter, x: Value) -> Value:
        e.module.declare(PREFIX + name, "void", ["double", "ptr", "ptr"])
        places = [e.stack("double", 1) for _ in range(2)]

        def call(v: Value) -> Value:
            e.line(f"call void @{PREFIX}{name}({v.typed}, {places[0].typed}, {places[1].typed})")
            return e.here(f"load double, {places[index].typed}", "double", 1)

        return each_lane(e, [x], call)

    return function


_expn = scalar("expn")


def expn(e: Emitter, n: Value, x: Value) -> Value:
    """The exponential integral of whole order n; NaN for other orders."""
    n, x = e.match(n, x)
    limit = e.const(2.0**31, n)
    whole = e.and_(e.fcmp("oeq", e.floor(n), n), e.fcmp("olt", e.fabs(n), limit))
    huge = e.and_(e.fcmp("oeq", e.floor(n), n), e.fcmp("oge", e.fabs(n), limit))
    y = _expn(e, e.select(whole, n, e.const(0.0, n)), x)
    return e.select(e.or_(whole, huge), y, e.const(math.nan, y))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "igamma": scalar("gammainc"),
    "igammac": scalar("gammaincc"),
    "regularized_incomplete_beta": scalar("betainc"),
    "dawsn": scalar("dawsn"),
    "expi": scalar("expi"),
    "spence": scalar("spence"),
    "bessel_j": scalar("jv"),
    "hyp1f1": scalar("hyp1f1"),
    "hyp2f1": scalar("hyp2f1"),
    "owens_t": scalar("owens_t"),
    "sine_integral": one_of_two("sici", 0),
    "cosine_integral": one_of_two("sici", 1),
    "fresnel_sine": one_of_two("fresnel", 0),
    "fresnel_cosine": one_of_two("fresnel", 1),
    "expn": expn,
}
