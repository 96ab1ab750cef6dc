"""Compiled programs as Python objects."""

from __future__ import annotations

import ctypes
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.array import ConcreteArray, DeletedArray
from ...core.aval import ShapedArray
from . import runtime
from .entry import (
    LEAF,
    LIST,
    MAX_FRAME,
    POST,
    PROGRAM,
    TREE,
    TUPLE,
    Signature,
    in_flattening_order,
    leaves_in_order,
    make_entry,
    stamp,
    use_threads,
    watch_calls,
)
from .jit import Linked

if TYPE_CHECKING:
    from .tiers import Promotion

__all__ = ["Executable"]

_KINDS: dict[Any, int] = {None: LEAF, tuple: TUPLE, list: LIST}


def _aligned(size: int) -> np.ndarray[Any, Any]:
    """So many bytes, from an address that is a multiple of 64."""
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size]


class Executable:
    """A compiled program: called with a list of arrays it returns a list of arrays.

    Args:
        code: the linked module, which exports `name`.
        arguments: the types of the program's inputs.
        results: the types of its results.
        constants: C-contiguous arrays that the frame points to after the inputs.
        arena_bytes: the size of the program's scratch memory.
        release_gil: whether other Python threads may run meanwhile: for programs that take more than about
            ten microseconds. It must hold for programs that call back into Python from a parallel loop.
        on_failure: called after the program returned 2; raises the exception that its host callback kept.
        name: the exported function, `i32 name(ptr frame)`.

    Attributes:
        promotion: the way to better code, if there is one (`tiers.py`).
        report: how it was compiled.
    """

    __slots__ = (
        "arguments", "results", "report", "_codes", "_constants", "_arena_bytes", "_release_gil",
        "_on_failure", "_name", "_address", "_native", "_entry", "_signatures", "_hot_after", "promotion",
        "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        code: Linked,
        arguments: Sequence[ShapedArray],
        results: Sequence[ShapedArray],
        *,
        constants: Sequence[np.ndarray[Any, Any]] = (),
        arena_bytes: int = 0,
        release_gil: bool = False,
        on_failure: Callable[[], Any] | None = None,
        name: str = "program",
    ) -> None:
        self.arguments = list(arguments)
        self.results = list(results)
        self.report = ""
        self._codes = [code]  # former ones may still be running
        self._constants = [np.require(c, requirements=("C", "A")) for c in constants]
        self._arena_bytes = arena_bytes
        self._release_gil = release_gil
        self._on_failure = on_failure
        self._name = name
        self._address = code.address(name)
        self._native = runtime.native()
        self._signatures: list[weakref.ref[Signature]] = []
        self._hot_after = 0
        self.promotion: Promotion | None = None
        self._entry: Callable[..., Any] | None = (
            None  # made at the first call: who gives memory away has another
        )

    def entry(
        self,
        *,
        bound: Sequence[ConcreteArray] = (),
        container: Callable[[list[ConcreteArray]], Any] | None = list,
        sample: tuple[Any, ...] | None = None,
        leaves: Sequence[Any] = (),
        guarded: bool = True,
        given: Sequence[int] = (),
        aliases: Mapping[int, int] | None = None,
        results: Sequence[ShapedArray] | None = None,
    ) -> Callable[..., Any] | None:
        """A native function for calls with arguments of these types (see `entry.make_entry`).

        Args:
            bound: values of the leading inputs, which are no arguments of the function then.
            container: what the function makes of the list of results; None: there is one, which it returns.
                It may only arrange them in containers.
            sample: if given, the function takes containers like these instead of their `leaves`.
            guarded: return NotImplemented when tracing would be in order or the configuration has changed.
            given, aliases, results: for `DonatingExecutable`: inputs whose memory the program writes over,
                the results that are in their memory, and the types of all results.

        Returns:
            The function, or None if native entries cannot be used for this program (or sample) here.
        """
        if sample is not None:
            sample = in_flattening_order(sample)
            found = leaves_in_order(sample)
            if found is None or len(found) != len(leaves) or not all(map(operator.is_, found, leaves)):
                return None
        types = self.results if results is None else results
        kind = _KINDS.get(container, POST)
        result = None
        if kind == POST and container is not None:
            numbers: list[Any] = list(range(len(types)))
            with suppress(Exception):  # containers of the user's may not take numbers
                result = container(numbers)
            found = leaves_in_order(result)
            if found == numbers and all(type(number) is int for number in found):
                kind = TREE
        if self._native.problem is not None:
            return None
        frame = len(self.arguments) + len(self._constants) + len(self.results) + 1
        if frame > MAX_FRAME:
            return None
        entry = make_entry(
            self._address,
            self.arguments[len(bound) :],
            types,
            bound=bound,
            constants=self._constants,
            arena_bytes=self._arena_bytes,
            kind=kind,
            post=container,
            sample_arguments=sample,
            sample_result=result,
            release_gil=self._release_gil,
            on_failure=self._on_failure,
            guarded=guarded,
            hot_after=self._hot_after,
            on_hot=self.promotion,
            given=[k - len(bound) for k in given],
            aliases={j: k - len(bound) for j, k in (aliases or {}).items()},
            keep=self._codes,
        )
        signature: Signature = entry.__self__  # type: ignore[attr-defined]  # of a builtin
        self._signatures.append(weakref.ref(signature))
        signature[PROGRAM] = self._address  # in case that another thread changed it meanwhile
        return entry

    def promote_after(self, calls: int, promotion: Promotion) -> None:
        """Have `promotion` called when an entry has been called so often."""
        self._hot_after = calls
        self.promotion = promotion
        for signature in self._live():
            watch_calls(signature, calls, promotion)

    def replace(self, code: Linked) -> None:
        """Run this code from now on, which does the same."""
        self._codes.append(code)
        self._hot_after, self.promotion = 0, None
        self._address = code.address(self._name)
        for signature in self._live():
            signature[PROGRAM] = self._address

    def _live(self) -> list[Signature]:
        """The tables of all entries that there are."""
        found = [(reference, reference()) for reference in self._signatures]
        self._signatures = [reference for reference, signature in found if signature is not None]
        return [signature for _, signature in found if signature is not None]

    def renew(self, entry: Callable[..., Any]) -> None:
        """Let a guarded entry run under the present configuration."""
        stamp(entry)

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]:
        """Run on arrays of exactly the program's argument types.

        Raises:
            TypeError: an argument has another type.
        """
        entry = self._entry
        if entry is None:
            entry = self._entry = self.entry(guarded=False)
        if entry is None:
            return self._call_slowly([a._data for a in self.prepared(args)])
        use_threads(entry)
        out = entry(*args)
        if out is NotImplemented:
            out = entry(*self.prepared(args))
        assert out is not NotImplemented
        return out

    def prepared(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]:
        """The arguments with C-contiguous buffers and exactly the types of the program's inputs.

        An array whose buffer was not contiguous gets its contiguous copy for good.
        """
        if len(args) != len(self.arguments):
            raise TypeError(f"a compiled program takes {len(self.arguments)} arguments, got {len(args)}")
        prepared = []
        for number, (array, expected) in enumerate(zip(args, self.arguments, strict=True)):
            if type(array) is not ConcreteArray:
                if type(array) is DeletedArray:
                    _ = array._data  # raises what is to be said
                raise TypeError(
                    f"argument {number} of a compiled program must be an array of type "
                    f"{expected.str_short()}, got {type(array).__name__}"
                )
            data = array._data
            if data.shape != expected.shape or data.dtype != expected.dtype:
                raise TypeError(
                    f"argument {number} of a compiled program must be an array of type "
                    f"{expected.str_short()}, got a buffer of shape {data.shape} and dtype {data.dtype}"
                )
            if not (data.flags.c_contiguous and data.flags.aligned) or type(data) is not np.ndarray:
                data = np.array(data, order="C", copy=True, subok=False)
                array._data = data  # the value is the same, and the next call finds it ready
            if array.aval is not expected:  # of another weak type, which makes no difference here
                array = ConcreteArray(data, expected)
            prepared.append(array)
        return prepared

    def _call_slowly(self, buffers: Sequence[np.ndarray[Any, Any]]) -> list[ConcreteArray]:
        """The call through ctypes, which relies on no layout of objects."""
        results = [_aligned(a.size * a.dtype.itemsize).view(a.dtype).reshape(a.shape) for a in self.results]
        blocks = [*buffers, *self._constants, *results, _aligned(self._arena_bytes)]
        frame = (ctypes.c_void_p * len(blocks))(*[b.ctypes.data for b in blocks])
        prototype = ctypes.CFUNCTYPE if self._release_gil else ctypes.PYFUNCTYPE
        self._native.set_threads(runtime.thread_count())
        status = prototype(ctypes.c_int, ctypes.c_void_p)(self._address)(ctypes.addressof(frame))
        if self._native.take_pending() or status == 1:
            raise KeyboardInterrupt
        if status != 0:
            if self._on_failure is not None:
                self._on_failure()
            raise RuntimeError("a compiled program failed in no way")
        return [ConcreteArray(data, aval) for data, aval in zip(results, self.results, strict=True)]
