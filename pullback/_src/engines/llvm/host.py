"""Host calls: what can only run in Python, called from native code.

The compiled program passes the addresses of the operands and the results; a ctypes callback, which takes the
GIL, wraps them as NumPy arrays and runs the NumPy engine's kernel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from ..numpy.engine import function_of
from .ir import constant, leave_unless
from .lower import Lowering, Unshareable
from .nodes import Node, View

Out = Sequence[View | None]


def host_call(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    """Run an equation in Python."""
    e = lw.e
    if e.outlined:
        raise Unshareable
    function, is_kernel = function_of(eqn)
    views = [lw.memory(x) for x in operands]
    results = [lw.result(v.aval, w) for v, w in zip(eqn.outvars, out, strict=True)]
    lw.flush()
    pointers = [v.pointer(e) for v in views] + [lw.address(r) for r in results]
    table = e.stack("ptr", max(len(pointers), 1))
    for k, pointer in enumerate(pointers):
        place = e.here(f"getelementptr ptr, ptr {table.name}, i64 {k}", "ptr", 1)
        e.line(f"store {pointer.typed}, ptr {place.name}, align 8")
    number = len(lw.host_calls)
    lw.host_calls.append(
        HostCall(
            function,
            [(v.shape, v.dtype) for v in views],
            [(r.shape, r.dtype) for r in results],
            eqn.primitive.multiple_results,
            not is_kernel,
            eqn,
        )
    )
    lw.module.declare("pb_host", "i32", ["i64", "ptr"])
    status = e.here(f"call i32 @pb_host(i64 {number}, ptr {table.name})", "i32", 1)
    leave_unless(e, e.icmp("eq", status, constant(0, "i32")), "failed")
    return list(results)


class HostCall:
    """One equation that runs in Python.

    keeps: whether the operands may be kept, or written to: then the function gets copies of them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        operands: Sequence[tuple[tuple[int, ...], np.dtype[Any]]],
        results: Sequence[tuple[tuple[int, ...], np.dtype[Any]]],
        several: bool,
        keeps: bool,
        eqn: Equation,
    ) -> None:
        self.function, self.operands, self.results = function, operands, results
        self.several, self.keeps = several, keeps
        self.name, self.location = eqn.primitive.name, eqn.location
        operand_types, result_types = [
            " ".join([v.aval.str_short() for v in group]) for group in (eqn.invars, eqn.outvars)
        ]
        self.types = f"{operand_types} -> {result_types}"

    def __call__(self, addresses: Sequence[int]) -> None:
        count = len(self.operands)
        arrays = [array_at(a, *kind) for a, kind in zip(addresses[:count], self.operands, strict=True)]
        for array in arrays:
            array.flags.writeable = False
        with np.errstate(all="ignore"):
            values = self.function(*([a.copy() for a in arrays] if self.keeps else arrays))
        values = values if self.several else [values]
        for address, kind, value in zip(addresses[count:], self.results, values, strict=True):
            array_at(address, *kind)[...] = value


def array_at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The memory at an address as an array."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    block = (ctypes.c_char * size).from_address(address)
    return np.frombuffer(memoryview(block), dtype).reshape(shape)


class HostCalls:
    """The host calls of a program: a C function that runs them, and the exception that one of them raised."""

    def __init__(self, calls: Sequence[HostCall]) -> None:
        self.error: BaseException | None = None
        self._calls = list(calls)

        def run(number: int, table: int) -> int:
            call = self._calls[number]
            count = len(call.operands) + len(call.results)
            try:
                call((ctypes.c_uint64 * count).from_address(table)[:])
            except BaseException as error:
                self.error = error
                return 1
            return 0

        self._callback = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)(run)
        self.address: int = ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def raise_error(self) -> None:
        """Raise what a host call raised."""
        error, self.error = self.error, None
        if error is not None:
            raise error
