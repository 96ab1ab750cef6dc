"""Results in the memory of arguments that the caller gives away.

A result may use a donated input's memory in two ways. Either it is made by updates in place that begin with
the input (`Lowering.renewed`, as for the state of a loop). Or all that the program reads of the input has
been read when it writes the result: before the loops that write it, or in them, at the index that is written.
The latter is found by watching a lowering that knows nothing of it: `Watch` notes when the addresses of the
inputs and the results are used. The program stays the same, but for two addresses that are equal. (Loops that
would compute elements twice must not: `Buffer.precedes`.)

At run time an input's memory is used only if nothing else refers to it. Otherwise a copy of it is used.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.array import ConcreteArray
from ...core.aval import ShapedArray, shaped_array
from ...core.program import Equation
from .entry import use_threads
from .executable import Executable
from .ir import Emitter, Value
from .nests import Nest, reads_of
from .nodes import Buffer, Node, WatchedAddress, variables
from .observer import Observer
from .stages import Output, Stage


class Use(NamedTuple):
    """One use of an address.

    Attributes:
        buffer: whose address it is.
        period: the equation or nest that was being lowered.
        position: what was being written: the function, and how many positions of stages had begun there;
            None if the address was taken and not used.
    """

    buffer: WatchedBuffer
    period: int
    position: tuple[Emitter, int] | None


class WatchedBuffer(Buffer):
    """The memory of an input or result; each use of its address is noted."""

    __slots__ = ("_address", "_watch")

    def __init__(self, address: Value, watch: Watch) -> None:
        self._watch = watch
        super().__init__(address)
        self._address: Value = WatchedAddress(address, self._taken)

    def _taken(self) -> None:
        self._watch.lose(self)

    @property
    def base(self) -> Value | None:
        self._watch.lose(self)
        return self._address

    @base.setter
    def base(self, address: Value | None) -> None:
        assert address is not None
        self._address = address

    @property
    def address(self) -> Value:
        return self._address

    def base_in(self, e: Emitter) -> Value | None:
        self._watch.note(self, (e, e.positions))
        return self._address

    def precedes(self, other: Buffer) -> bool:
        return (self is not other and isinstance(other, WatchedBuffer)) or super().precedes(other)


class Watch(Observer):
    """Divides a lowering into periods: outermost equations, and nests between or within them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer  # another one
        self._period = 0
        self._around = 0  # the period in which the nest is written that is being written
        self._time = 0
        self._span: list[list[int]] = [[0, 0]]  # of each period: when it began and ended
        self._nests: dict[int, Nest] = {}
        self._uses: list[Use] = []
        self._lost: set[Buffer] = set()

    def lose(self, buffer: WatchedBuffer) -> None:
        """Somebody has taken a buffer's address for purposes of his own: it is used from now on."""
        self._uses.append(Use(buffer, self._period, None))
        self._lost.add(buffer)

    def note(self, buffer: WatchedBuffer, position: tuple[Emitter, int]) -> None:
        self._uses.append(Use(buffer, self._period, position))

    def _begin(self) -> None:
        self._time += 1
        self._span.append([self._time, self._time])
        self._period = len(self._span) - 1

    def equation(self, eqn: Equation, depth: int, level: int) -> None:
        if depth == 1:
            self._begin()
        self._observer.equation(eqn, depth, level)

    def lowered(
        self, eqn: Equation, operands: Sequence[Node], results: Sequence[Node], depth: int, level: int
    ) -> None:
        self._observer.lowered(eqn, operands, results, depth, level)

    def end(self, depth: int) -> None:
        if depth == 1:
            self._begin()

    def nest(self, nest: Nest, depth: int, level: int) -> None:
        if depth <= 1:
            self._around = self._period
            self._begin()
            self._nests[self._period] = nest
        self._observer.nest(nest, depth, level)

    def written(self, nest: Nest, depth: int, level: int) -> None:
        if depth <= 1:
            self._time += 1
            self._period = self._around
            # An address may have been taken before the nest, and be used after it.
            self._span[self._period][1] = self._time
        self._observer.written(nest, depth, level)

    def shared(self, chunks: int) -> None:
        self._observer.shared(chunks)

    def overwrites(self, source: WatchedBuffer, target: WatchedBuffer) -> bool:
        """Whether the program would compute the same if `target` were the memory of `source`."""
        reads = [use for use in self._uses if use.buffer is source]
        writes = [use for use in self._uses if use.buffer is target]
        if source in self._lost:  # when it was last used is not known
            return False
        if not reads or not writes:
            return True
        first = min([self._span[use.period][0] for use in writes])
        late = {use.period for use in reads if self._span[use.period][1] >= first}
        if not late:
            return True
        writing = next(use.period for use in writes if self._span[use.period][0] == first)
        nest = self._nests.get(writing)
        if nest is None or late != {writing}:
            return False
        return self._same_index(nest, source, target) and self._in_order(writing, source, target)

    def _same_index(self, nest: Nest, source: WatchedBuffer, target: WatchedBuffer) -> bool:
        """Whether a nest reads `source` only where it writes `target` next."""
        name = target.address.name
        writers: list[tuple[Stage, Output]] = []
        for stage in nest.stages:
            for output in stage.outputs:
                address = output.view.buffer.address
                if address is not None and address.name == name:
                    writers.append((stage, output))
        if len(writers) != 1:
            return False
        ((stage, output),) = writers
        if output.reducer is not None or output.view.buffer is not target:
            return False
        place = stage.stored_at(output, variables(stage.domain)).key
        for other in nest.stages:
            for view, flat in reads_of(other):
                if view.buffer is source and (
                    other is not stage or flat.key != place or view.dtype != output.view.dtype
                ):
                    return False
        return True

    def _in_order(self, writing: int, source: WatchedBuffer, target: WatchedBuffer) -> bool:
        """Whether, in the code for one position, no use of `source` comes after one of `target`."""
        written: set[tuple[Emitter, int]] = set()
        for buffer, period, position in self._uses:
            if period != writing:
                continue
            if position is None:
                continue
            if buffer is target:
                written.add(position)
            elif buffer is source and position in written:
                return False
        return True


def candidates(
    arguments: Sequence[ShapedArray], results: Sequence[ShapedArray], donated: Sequence[int]
) -> list[int | None]:
    """For each result, the donated input that it looks like a new value of: of its type, in order."""
    left = list(donated)
    chosen: list[int | None] = []
    for result in results:
        found = next(
            (k for k in left if (arguments[k].shape, arguments[k].dtype) == (result.shape, result.dtype)),
            None,
        )
        if found is not None:
            left.remove(found)
        chosen.append(found)
    return chosen


def _references(array: ConcreteArray) -> int:
    return sys.getrefcount(array._data)


_ALONE = _references(ConcreteArray(np.zeros(1), shaped_array((1,), np.dtype(np.float64))))


def _is_ours(array: Any, times: Mapping[int, int]) -> bool:
    """Whether nobody but one argument of a call can reach an array's memory.

    times: how often each array is an argument, by its identity.
    """
    if type(array) is not ConcreteArray or _references(array) != _ALONE:
        return False
    if times[id(array)] != 1:
        return False
    data = array._data
    flags = data.flags
    return (
        type(data) is np.ndarray
        and data.base is None
        and flags.owndata
        and flags.writeable
        and flags.c_contiguous
        and flags.aligned
    )


class DonatingExecutable:
    """A compiled program that uses the memory of some inputs.

    Args:
        run: the executable. It returns the results that have memory of their own.
        aliases: the results that do not, with the inputs whose memory they are in.
        used: the inputs whose memory the program writes over.
        results: the types of all results.

    Its native entries are those of the executable. They take no calls in which an input's memory cannot be
    used: such a call comes here, and a copy is used.
    """

    __slots__ = ("_aliases", "_entry", "_results", "_run", "_used", "report")

    def __init__(
        self, run: Executable, aliases: Mapping[int, int], used: Sequence[int], results: Sequence[ShapedArray]
    ) -> None:
        self._run = run
        self._aliases = dict(aliases)
        self._used = tuple(used)
        self._results = list(results)
        self._entry = self.entry(guarded=False)
        self.report: str = run.report

    def entry(self, *, bound: Sequence[ConcreteArray] = (), **options: Any) -> Callable[..., Any] | None:
        """A native function for calls with arguments of these types (see `Executable.entry`)."""
        return self._run.entry(
            bound=bound, given=self._used, aliases=self._aliases, results=self._results, **options
        )

    def renew(self, entry: Callable[..., Any]) -> None:
        """Let a guarded entry run under the present configuration."""
        self._run.renew(entry)

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]:
        entry = self._entry
        if entry is None:
            given = self._with_copies(args, self._used)
            own = iter(self._run(given))
            return [
                ConcreteArray(given[self._aliases[j]]._data, aval) if j in self._aliases else next(own)
                for j, aval in enumerate(self._results)
            ]
        use_threads(entry)
        out = entry(*args)
        if out is NotImplemented:
            given = self._run.prepared(args)
            times = Counter(map(id, given))
            out = entry(*self._with_copies(given, [k for k in self._used if not _is_ours(given[k], times)]))
            if out is NotImplemented:  # another thread has begun to use one
                out = entry(*self._with_copies(given, self._used))
        assert out is not NotImplemented
        return out

    def _with_copies(self, args: Sequence[ConcreteArray], places: Sequence[int]) -> list[ConcreteArray]:
        """The arguments, with copies of some."""
        given = list(args)
        for k in places:
            given[k] = ConcreteArray(
                np.array(given[k]._data, order="C", copy=True, subok=False), given[k].aval
            )
        return given


__all__ = ["DonatingExecutable", "Watch", "WatchedBuffer", "candidates"]
