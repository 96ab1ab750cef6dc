"""Nests that are alike: those of a long program often differ only in which memory they read and write.

The function of a nest (`parallel.apart`) follows from the structure of its stages. `described` puts that
structure into a key, made of what looking at the nodes has found (`Accesses`), in which values of the
function around it (addresses, indices that run time knows) are numbers in the order in which they are met;
nests with equal keys are calls of one function with other arguments, and only the first one is written.
Writing takes milliseconds, describing hundredths of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .ir import Emitter, Value
from .nodes import Accesses, Buffer, Node, interned
from .parallel import Callee, apart

if TYPE_CHECKING:
    from .index import Index
    from .stages import Output, Stage

Key = tuple[Any, ...]


class Written(NamedTuple):
    """The function of a nest.

    Attributes:
        arguments: its arguments, as numbers of the description's values.
        loops, work, elsewhere, shared: what it adds to the module's.
    """

    callee: Callee
    arguments: tuple[int, ...]
    loops: int
    work: float
    elsewhere: float
    shared: list[int]


def write_once(
    e: Emitter, description: Description | None, body: Callable[[Emitter], None], outlined: bool
) -> None:
    """A call of the function that `body` writes; of the one with the same description if there is one.

    outlined: whether it shares no loops between threads, which the description says, too.
    """
    module = e.module
    if description is None:
        apart(e, body, outlined)
        return
    try:
        known: Written | None = module.nests.get(description.key)
    except TypeError:  # parameters that are not plain
        apart(e, body, outlined)
        return
    if known is not None:
        known.callee.call(e, [description.values[k] for k in known.arguments])
        module.loops += known.loops
        module.work += known.work
        module.elsewhere += known.elsewhere
        module.shared.extend(known.shared)
        return
    before, shared = (module.loops, module.work, module.elsewhere), len(module.shared)
    callee, captured = apart(e, body, outlined)
    numbers = [description.numbers.get(v.name) for v in captured]
    arguments = tuple([k for k in numbers if k is not None])
    if len(arguments) == len(captured):
        after = module.loops, module.work, module.elsewhere
        loops, work, elsewhere = [b - a for a, b in zip(before, after, strict=True)]
        more = module.shared[shared:]
        module.nests[description.key] = Written(callee, arguments, int(loops), work, elsewhere, more)


class _UnknownError(Exception):
    """A node whose code does not follow from what is described."""


class Description:
    """The structure of a nest.

    Attributes:
        values: of the function around the nest, in the order in which they are met.
        numbers: their places in that, by name.
        key: equal for nests whose functions differ at most in the names of values.
    """

    def __init__(self, stages: Sequence[Stage], rows: dict[Buffer, int], more: Key) -> None:
        self.values: list[Value] = []
        self.numbers: dict[str, int] = {}
        self._rows = rows
        self._buffers: dict[Buffer, int] = {}
        self._met: dict[Node, int] = {}  # nodes by their numbers
        self._last: Sequence[Node] = ()  # the last ones, which have none yet
        self.key: Key = (*more, *[self._stage(s) for s in stages])

    def _value(self, value: Value) -> Key:
        if value.name[0] != "%":
            return value.name, value.elem, value.lanes
        number = self.numbers.get(value.name)
        if number is None:
            number = self.numbers[value.name] = len(self.values)
            self.values.append(value)
        return number, value.elem, value.lanes

    def _index(self, index: Index) -> object:
        if index.described is not None:
            return index.described
        if index.vector is not None:
            raise _UnknownError
        terms = tuple([(v.name if v.name[0] == "?" else self._value(v), c) for v, c in index.terms])
        key = terms, index.const, index.lanes, index.low, index.high
        if all(isinstance(name, str) for name, _ in terms):  # the same in all nests
            index.described = interned(*key)
            return index.described
        return key

    def _buffer(self, buffer: Buffer) -> Key | int:
        number = self._buffers.get(buffer)
        if number is not None:
            return number
        if type(buffer) is not Buffer:  # of a kind that watches what is read
            raise _UnknownError
        self._buffers[buffer] = len(self._buffers)
        address = buffer.address
        return (
            None if address is None else self._value(address), self._rows.get(buffer), buffer.streams,
        )  # fmt: skip

    def _stage(self, stage: Stage) -> Key:
        outputs = [self._output(o) for o in stage.outputs]
        ahead = tuple([self._buffer(v.buffer) for v in stage.ahead])
        return (
            stage.domain, stage.reduced, stage.along, stage.around, ahead, *outputs,
            *[self._read(f) for f in stage.found],
        )  # fmt: skip

    def _output(self, output: Output) -> Key:
        reducer, view = output.reducer, output.view
        if reducer is not None and reducer.name == "reduction":
            raise _UnknownError
        return (
            self._buffer(view.buffer), view.shape, view.dtype, view.strides, self._index(view.offset),
            reducer and reducer.name, output.needed, output.streams,
        )  # fmt: skip

    def _read(self, found: Accesses) -> Key:
        """What some outputs are computed from, and how."""
        if found.opaque:
            raise _UnknownError
        met = self._met
        for node in self._last:
            met.setdefault(node, len(met))
        self._last = found.nodes
        new = met.keys().isdisjoint(found.nodes)
        shared = None if new else tuple([met.get(node) for node in found.nodes])
        # How many there are of each kind follows from the trace.
        return (
            tuple(found.trace),
            shared,
            *[self._buffer(v.buffer) for v, _ in found.views],
            *[at.described or self._index(at) for _, at in found.views],
            *[self._index(i) for i in found.indices],
            *[(tuple([self._value(x) for x in r.values]), self._index(i)) for r, i in found.registers],
        )


def described(stages: Sequence[Stage], rows: dict[Buffer, int], *more: Any) -> Description | None:
    """The structure of a nest, or None if its code depends on more than one can compare.

    Args:
        rows: the memory that is kept for a turn of the common loops, and its bytes.
        more: what else the code depends on.
    """
    try:
        return Description(stages, rows, more)
    except _UnknownError:
        return None
