"""Lowering: one walk over a program's equations, from nodes to nodes.

`lowerings` maps the name of a primitive to a function `(lw, eqn, operands, out) -> nodes`. `out` tells, for
each result, where it should go if it has to be in memory; `lw.result(aval, out)` makes that memory. A
lowering either returns a node that is not computed yet, or uses `lw.store`, `lw.memory` and `lw.registers` to
compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core.aval import ShapedArray
from ...core.program import Atom, Equation, Literal, Program, Var
from .deferred import Constant, Map, Pieces, Remap, regions, shifted
from .ir import Emitter, Value
from .latest import Latest
from .liveness import (
    Walk,
    destinations,
    permuted_products,
    reached,
    read_once,
    reads_memory,
    same_memory,
    same_place,
    scaled_products,
)
from .memory import Arena, Slot
from .module import Module
from .nests import Nest, is_long
from .nodes import Accesses, Buffer, Node, Registers, View, variables, whole
from .observer import Observer
from .reducers import Reducer
from .segments import Segments
from .stages import Output, Stage
from .storage import components

Lower = Callable[..., list[Node] | None]

lowerings: dict[str, Lower] = {}
# Primitives that know what to do with operands that are `pieced`; others get them in memory.
takes_pieces: set[str] = set()
# Primitives that change their first operand in place if they can.
in_place: set[str] = set()

SMALL = 256  # bytes of an array that lives in registers
TINY = 64  # likewise in a long program
OPERATION = 3.0  # ns that an operation takes at least
PIECED_USES, PIECED_READS = 2, 32  # of pieces that are put together only where they are read
MOST_REGIONS = 9  # parts of a domain with loops of their own
DEEP = 60  # operations in a row that are computed in one loop
NESTED = 100  # operations in a row, of any kind, that are not computed yet: nodes are walked recursively
OPEN = 2  # nests at the same time
HEAVY = 0.25  # ns: an element that costs more is stored if it is used again


def lowering(*names: str) -> Callable[[Lower], Lower]:
    """Declare the lowering of the primitives called `names`."""

    def declare(function: Lower) -> Lower:
        for name in names:
            lowerings[name] = function
        return function

    return declare


class Unshareable(Exception):
    """A program turns out to need what cannot run in several threads, where that was expected."""


class Lowering:
    """The state of a walk: the function that is written, its memory, the open nests."""

    def __init__(
        self, module: Module, e: Emitter, arena_base: Value, fallback: Lower, observer: Observer | None = None
    ) -> None:
        self.observer = observer or Observer()
        self._observed = observer is not None
        # Addresses of arguments and loops' states that were written over.
        self.renewals: set[str] = set()
        self.module = module
        self.fallback = fallback  # lowers what has no lowering of its own
        self.e = e
        self.shares = True  # whether turns of loops may be shared by threads
        self._own = e.own
        self.segments = Segments(e) if module.long else None
        self._around = 0  # the level of the functions around the one that is being written
        self.arena = Arena()
        self.arena_base = arena_base
        self.nests: list[Nest] = []  # that are open
        self.host_calls: list[Any] = []
        self._made: list[Buffer] = []  # by the equation that is being lowered
        self._walks: list[Walk] = []  # one within the other
        self._visited: tuple[Node, Accesses] | None = None  # a node that may be stored next
        self._freed: list[Buffer] = []  # their places are free when the open nests are written
        self._released: set[Buffer] = set()  # what only the open nests need
        self.latest: dict[Atom, Latest] = {}  # of loops' states, what was written last
        self.constants: list[np.ndarray[Any, Any]] = []
        self._constant_views: dict[int, View] = {}
        self._scalars: dict[Any, Constant] = {}  # by their dtype and bytes
        self._small = TINY if module.long else SMALL

    # Programs ------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """How many loops and branches are open, in all functions that are being written."""
        return self._around + self.e.level

    @contextmanager
    def within(self, e: Emitter, base: Value) -> Iterator[Arena]:
        """Write a function of its own, whose scratch memory begins at `base`; yields the plan of that.

        What it reads and writes must be nodes of its own (`Emitter.local`), and it leaves nothing but what it
        has written there.
        """
        self.flush()
        around = self.e, self.arena, self.arena_base, self._around
        before = len(self._made)
        self.e, self.arena, self.arena_base, self._around = e, Arena(), base, self.level
        yield self.arena
        self.flush()
        del self._made[before:]
        self.e, self.arena, self.arena_base, self._around = around

    def run(
        self,
        program: Program,
        args: Sequence[Node],
        out: Sequence[View | None],
        given: Sequence[View | None] = (),
    ) -> list[Node]:
        """The results of a program; a result with a place in `out` is in memory there when this returns.

        `given`: for each of the first results, memory that the program may write over once it has read it (it
        holds an argument). A result that is made there stays there.
        """
        walk = Walk(program, [v.buffer for v in given if v is not None], self.e.level, self.release)
        self._walks.append(walk)
        out = [None if v is None else self._inside(v) for v in out]
        env = walk.env
        env.update(zip(program.invars, args, strict=True))
        for var, value in zip(program.constvars, program.consts, strict=True):
            env[var] = self.constant(value)
        uses = walk.uses
        places = walk.places = destinations(program, out, uses, in_place)
        readers = read_once(program, uses)
        walk.permuted, walk.scaled = permuted_products(readers), scaled_products(readers)
        walk.mine.update([v.buffer for v in places.values()])
        module, nested_in, segments = self.module, walk.nested, self.segments
        for number, eqn in enumerate(program.eqns):
            module.work += OPERATION * module.turns
            name, outvars = eqn.primitive.name, eqn.outvars
            done = bool(walk.done) and not walk.done.isdisjoint(outvars)
            read: list[Var] = []
            operands: list[Node] = []
            for v in eqn.invars:
                if isinstance(v, Var):
                    if env[v].pieced and name not in takes_pieces:
                        self._replace(walk, v, self.memory)
                    read.append(v)
                    operands.append(env[v])
                elif not done:
                    operands.append(self.literal(v))
            lower = lowerings.get(name)
            where = list(map(places.get, outvars))
            before = len(self._made)
            walk.number = number
            results: list[Node] | None = None
            if self._observed:
                self.observer.equation(eqn, len(self._walks), self.level)
            if not (outvars and outvars[0].aval.size) and _has_no_elements(eqn):
                results = [self.empty(v.aval, w) for v, w in zip(outvars, where, strict=True)]
            elif done:
                results = operands
            elif lower is not None:
                results = lower(self, eqn, operands, where)
            if results is None:
                results = self.fallback(self, eqn, operands, where) or []
            for k, node in enumerate(results):
                var = outvars[k]
                if isinstance(node, (View, Registers, Constant)):
                    env[var] = node
                    continue
                if isinstance(node, Map) and (
                    node.depth > DEEP or is_long(node.chain, node.size, module.long)
                ):
                    node = self.memory(node, where[k])
                elif uses.get(var, 0) > 1 and isinstance(node, (Map, Remap, Pieces)):
                    node = self._keep(node, where[k], uses[var])
                if not isinstance(node, View):
                    nested = 1
                    for v in read:
                        if nested_in.get(v, 0) >= nested:
                            nested = nested_in[v] + 1
                    if nested > NESTED:
                        node, nested = self.memory(node, where[k]), 0
                    nested_in[var] = nested
                env[var] = node
            if self._observed:
                self.observer.lowered(eqn, operands, results, len(self._walks), self.level)
            made = self._made[before:]
            if made:
                del self._made[before:]
            walk.pass_by(read, outvars, made)
            if segments is not None:
                segments.cut()
        self.observer.end(len(self._walks))
        ends = [self.literal(v) if isinstance(v, Literal) else env[v] for v in program.outvars]
        stays = [*given, *[None] * (len(out) - len(given))]
        final = [
            node if view is None or (home is not None and same_place(node, home)) else self.into(node, view)
            for node, view, home in zip(ends, out, stays, strict=True)
        ]
        self._walks.pop()
        kept = {n.buffer for n in final if isinstance(n, View)}
        for buffer in walk.holders:
            if buffer not in kept and not any(reads_memory(n, buffer) for n in final):
                self.release(buffer)
            else:
                self._made.append(buffer)
        return final

    def _replace(self, walk: Walk, var: Var, compute: Callable[[Node], Node]) -> None:
        """Compute a variable's node now."""
        before = len(self._made)
        walk.env[var] = compute(walk.env[var])
        made = self._made[before:]
        del self._made[before:]
        walk.mine.update(made)
        walk.holders.update(dict.fromkeys(made, 1))
        needed = walk.reach.pop(var, ())
        walk.hold(var, reached(walk.env[var], made, True))
        walk.let_go([*made, *needed])

    def _inside(self, view: View) -> View:
        """Memory of the code around, as a content that is made in the scope that is being written."""
        level = self.e.level
        if view.buffer.level == level or view.buffer.address is None:
            return view
        return View(
            Buffer(view.buffer.address, level, view.buffer.bytes),
            view.shape,
            view.dtype,
            view.strides,
            view.offset,
        )

    def _keep(self, node: Node, where: View | None, uses: int) -> Node:
        """A deferred node that is used several times: computed now if that is better than doing it again."""
        if node.most <= HEAVY and not node.pieced:
            return node
        found = Accesses()
        node.visit(variables(node.shape), found)
        self._visited = node, found
        # Pieces of pieces, each read several times, would be an exponential number of regions.
        many = node.pieced and (uses > PIECED_USES or len(found.views) > PIECED_READS)
        return self.memory(node, where) if found.cost > HEAVY or many else node

    def renewed(self, eqn: Equation, number: int) -> View | None:
        """The memory of an operand of the equation that is being lowered, to be written over.

        None if that is not possible: it is not this walk's memory (the program's inputs and constants, other
        loops' states), or it may still be read: by later equations through any variable, or by another
        operand. What reads little of it is computed before. The caller reads the old content through the
        operand before it writes, and flushes between the two.
        """
        walk = self._walks[-1]
        var = eqn.invars[number]
        if not isinstance(var, Var) or eqn.invars.count(var) > 1 or walk.read_until[var] > walk.number:
            return None
        node = walk.env[var]
        if not isinstance(node, View) or node.buffer not in walk.mine:
            return None
        if not all(s or n == 1 for n, s in zip(node.shape, node.strides, strict=True)):
            return None  # elements that are one
        self.flush()
        if node.buffer.address is None:
            return None  # nothing was written
        readers = [
            v
            for v, other in walk.env.items()
            if v is not var
            and (walk.read_until.get(v, -1) > walk.number or v in eqn.invars)
            and reads_memory(other, node.buffer)
        ]
        if 2 * sum(walk.env[v].bytes for v in readers) > node.bytes or any(v in eqn.invars for v in readers):
            return None
        for v in readers:
            if self.small(walk.env[v]):
                self._replace(walk, v, self.registers)
            else:
                self._replace(walk, v, lambda other: self.store(self.result(other), other))
        if readers:
            self.flush()
        old = node.buffer
        self.renewals.add(node.buffer.address.name)
        for buffer in [b for b in walk.holds if same_memory(b, node.buffer)]:
            del walk.stored[walk.holds.pop(buffer)]
        new = Buffer(old.base, self.e.level, old.bytes)
        new.slots, old.slots = old.slots, ()
        self._made.append(new)
        return View(new, node.shape, node.dtype, node.strides, node.offset)

    def keep_factors(self, matrix: Atom | None, factors: View, pivots: View, of_transpose: bool) -> None:
        """Keep a matrix's LU factors as long as the matrix, if a later equation solves a system with it."""
        walk = self._walks[-1]
        if isinstance(matrix, Var) and walk.systems[matrix] > walk.number:
            walk.factors[matrix] = factors, pivots, of_transpose

    def factors_of(self, matrix: Atom | None) -> tuple[View, View, bool] | None:
        """The LU factors that were kept of a matrix, the pivots, and whether they are its transpose's."""
        return self._walks[-1].factors.get(matrix) if isinstance(matrix, Var) else None

    # Nodes -----------------------------------------------------------------------------------------------

    def literal(self, literal: Literal) -> Node:
        dtype = literal.aval.dtype
        value = np.asarray(getattr(literal.value, "_data", literal.value), dtype)
        if value.ndim:
            return self.constant(value)
        key = dtype, value.tobytes()
        known = self._scalars.get(key)
        if known is None:
            known = self._scalars[key] = Constant(value, dtype)
        return known

    def constant(self, value: Any) -> Node:
        """A constant array, given to the program with its arguments."""
        data = np.ascontiguousarray(getattr(value, "_data", value)).reshape(np.shape(value))
        if data.ndim == 0:
            return Constant(data, data.dtype)
        view = self._constant_views.get(id(value))
        if view is None:
            base = Value(f"{self._own}const{len(self.constants)}", "ptr", 1, 0)
            self.constants.append(data)
            view = self._constant_views[id(value)] = View(Buffer(base, 0), data.shape, data.dtype)
        return view

    def small(self, node: Node | ShapedArray) -> bool:
        """Whether an array should live in registers."""
        return 0 < node.size * node.dtype.itemsize <= self._small

    def registers(self, node: Node) -> Registers:
        """The node computed as one vector."""
        if isinstance(node, Registers):
            return node
        self.settle(node)
        element = node.element(self.e, whole(node.shape))
        return Registers(node.shape, node.dtype, element)

    def scalar(self, node: Node) -> Value:
        """The value of a node without dimensions."""
        self.settle(node)
        return components(node.element(self.e, whole(node.shape)))[0]

    def settle(self, *nodes: Node) -> None:
        """Make sure that the memory which nodes read has been written."""
        if any(self.pending(node) for node in nodes):
            self.flush()

    def computed(self, node: Node) -> Node:
        """The node, computed now if it is small and all that it reads is there."""
        if 0 < node.size * node.dtype.itemsize <= self._small and not self.pending(node):
            return Registers(node.shape, node.dtype, node.element(self.e, whole(node.shape)))
        return node

    def pending(self, node: Node) -> bool:
        """Whether the node reads what an open nest will write."""
        if not self.nests:
            return False
        found = Accesses()
        node.visit(variables(node.shape), found)
        return any(v.buffer.pending for v, _ in found.views)

    def reads(self, node: Node, buffer: Buffer) -> bool:
        """Whether the node reads this memory."""
        return reads_memory(node, buffer)

    def memory(self, node: Node, where: View | None = None) -> View:
        """The node in memory without gaps (it may still have to be written, see `pointer`)."""
        if isinstance(node, View) and node.contiguous:
            return node
        if isinstance(node, Registers) and where is None:
            return node.in_memory(self.e)
        walk = self._walks[-1]
        known = walk.stored.get(node)
        if known is not None and where is None:
            return known
        view = self.into(node, self.result(node, where))
        if self.e.level == walk.level:
            walk.stored[node] = view
            walk.holds[view.buffer] = node
        return view

    def pointer(self, node: Node) -> tuple[View, Value]:
        """The node in memory without gaps, written, and its address."""
        view = self.memory(node)
        if view.buffer.pending:
            self.flush()
        return view, view.pointer(self.e)

    def result(self, like: Node | ShapedArray, where: View | None = None) -> View:
        """Memory for an array of this shape and dtype: `where`, or a new place."""
        if where is not None:
            return where
        dtype = like.dtype
        buffer = Buffer(None, self.e.level, max(math.prod(like.shape) * dtype.itemsize, 1))
        self._made.append(buffer)
        return View(buffer, like.shape, dtype)

    def empty(self, aval: ShapedArray, where: View | None) -> View:
        """An array nothing of which is written."""
        view = self.result(aval, where)
        self.place(view.buffer)
        return view

    def place(self, buffer: Buffer) -> None:
        """Give a buffer its memory, if it has none yet."""
        if buffer.address is None:
            slot = self.arena.take(buffer.bytes)
            buffer.slots = (slot,)
            buffer.base = self.e.pure(
                f"getelementptr i8, ptr {self.arena_base.name}, i64 {slot.offset}", "ptr", 1, 0
            )

    def permuted(self, eqn: Equation, where: View | None) -> View | None:
        """Memory for a product in which its transposition, the only thing that reads it, has no gaps."""
        walk, (var,) = self._walks[-1], eqn.outvars
        if where is not None or var not in walk.permuted:
            return None
        permutation, transposed = walk.permuted[var]
        view = self.result(transposed.aval, walk.places.get(transposed))
        order = [permutation.index(d) for d in range(len(permutation))]
        return view.with_layout(var.aval.shape, tuple([view.strides[d] for d in order]))

    def scaled(self, eqn: Equation) -> tuple[float, View | None]:
        """The number by which a product is multiplied later, and where that should go.

        It is multiplied by that at once: the equation that would do it has nothing left to do.
        """
        walk, (var,) = self._walks[-1], eqn.outvars
        if var not in walk.scaled:
            return 1.0, walk.places.get(var)
        factor, result = walk.scaled[var]
        walk.done.add(result)
        return factor, walk.places.get(result)

    def place_beside(self, buffer: Buffer, address: Value, record: list[Slot]) -> None:
        """Give a buffer memory that nothing has used since the record began, at an address already in use."""
        slot = self.arena.take_beside(buffer.bytes, record)
        buffer.slots = (slot,)
        buffer.base = address
        self.e.scopes[0].lines.append(
            f"{address.name} = getelementptr i8, ptr {self.arena_base.name}, i64 {slot.offset}"
        )

    def address(self, view: View) -> Value:
        """The address of memory that a routine is about to write."""
        self.place(view.buffer)
        return view.pointer(self.e)

    def into(self, node: Node, view: View) -> View:
        """Store the node in memory."""
        return node if isinstance(node, View) and same_place(node, view) else self.store(view, node)

    def store(self, view: View, node: Node) -> View:
        """A stage that stores the node's elements."""
        if not view.size:
            return view
        parts = regions(view.shape, node, MOST_REGIONS) if node.pieced else []
        if parts is None:
            node, parts = self._joined(node, {}), []
        if len(parts) <= 1:
            stage = Stage(view.shape, (False,) * len(view.shape), [Output(view, node)])
            if self._visited is not None and self._visited[0] is node and node.shape == view.shape:
                found = self._visited[1]
                stage.reads, stage.operations, stage.found = (1, found.views), found.cost, [found]
            self.stage(stage)
            return view
        for part in parts:
            starts, shape = [first for first, _ in part], tuple([size for _, size in part])
            offset = sum(first * stride for first, stride in zip(starts, view.strides, strict=True))
            inner = Remap(node, shape, shifted(starts))
            place = view.with_layout(shape, view.strides, offset)
            self.stage(Stage(shape, (False,) * len(shape), [Output(place, inner)]))
        return view

    def _joined(self, node: Node, done: dict[Node, Node]) -> Node:
        """The node with all pieces that it reads put together in memory."""
        if not node.pieced:
            return node
        if node not in done:
            if isinstance(node, Pieces):
                done[node] = self._join(node)
            elif isinstance(node, Remap):
                done[node] = Remap(self._joined(node.source, done), node.shape, node.mapping)
            else:
                assert isinstance(node, Map)
                operands = [self._joined(o, done) for o in node.operands]
                done[node] = Map(node.rule, operands, node.shape, node.dtype, node.params, node.weight)
        return done[node]

    def _join(self, node: Pieces) -> View:
        view = self.result(node)
        for part, start in zip(node.parts, node.starts, strict=False):
            place = view.with_layout(part.shape, view.strides, start * view.strides[node.axis])
            self.store(place, part)
        return view

    def reduce(self, node: Node, axes: Sequence[int], reducer: Reducer, view: View) -> View:
        """A stage that combines the node's elements along `axes`."""
        if node.pieced:
            node = self.memory(node)
        if view.size:
            reduced = tuple([d in axes for d in range(len(node.shape))])
            self.stage(Stage(node.shape, reduced, [Output(view, node, reducer)]))
        return view

    # Stages ----------------------------------------------------------------------------------------------

    def stage(self, stage: Stage) -> None:
        """Add a stage to an open nest, or begin a new one."""
        if not self._joins(stage):
            if len(self.nests) == OPEN:
                self._write_first()
            self.nests.append(Nest(self.module.long))
            self.nests[-1].add(stage)
        for output in stage.outputs:
            output.view.buffer.pending = True

    def _joins(self, stage: Stage) -> bool:
        """Whether an open nest takes the stage in: the last one, or one before of those it does not need."""
        for nest in reversed(self.nests):
            if nest.add(stage):
                return True
            if not nest.independent(stage):
                return False
        return False

    def flush(self) -> None:
        """Write the open nests."""
        while self.nests:
            self._write_first()

    def _write_first(self) -> None:
        """Write the first open nest."""
        nest, *self.nests = self.nests
        needed = {b for n in self.nests for b in n.buffers()}
        nest.release(self._released, needed)
        if self._observed:
            self.observer.nest(nest, len(self._walks), self.level)
        before = len(self.module.shared)
        nest.write(self.e, self.place)
        nest.parts = self.module.shared[before:]
        if self._observed:
            self.observer.written(nest, len(self._walks), self.level)
        for stage in nest.stages:
            for output in stage.outputs:
                output.view.buffer.pending = False
        for other in self.nests:
            for buffer in other.written:
                buffer.pending = True
        freed, self._freed = self._freed, [b for b in self._freed if b in needed]
        for buffer in freed:
            if buffer not in needed:
                self._give(buffer)
        self._released &= needed

    def rewritten(self, view: View) -> View:
        """Memory that is about to be written a second time: as another content, of which nothing is known
        yet."""
        self.flush()
        buffer = Buffer(view.buffer.base, self.e.level, view.buffer.bytes)
        buffer.slots, view.buffer.slots = view.buffer.slots, ()
        self.made(buffer)
        return View(buffer, view.shape, view.dtype, view.strides, view.offset)

    def made(self, buffer: Buffer) -> None:
        """Memory with a result of the equation that is being lowered."""
        self._made.append(buffer)

    def release(self, buffer: Buffer) -> None:
        """The buffer's content is not needed any more."""
        for walk in self._walks:
            if (node := walk.holds.pop(buffer, None)) is not None:
                del walk.stored[node]
        if self.nests:
            self._released.add(buffer)
            self._freed.append(buffer)
        else:
            self._give(buffer)

    def _give(self, buffer: Buffer) -> None:
        for slot in buffer.slots:
            self.arena.give(slot)
        buffer.slots = ()


def _has_no_elements(eqn: Equation) -> bool:
    """Whether an equation computes nothing."""
    return not any(v.aval.size for v in eqn.outvars) and not eqn.primitive.effectful
