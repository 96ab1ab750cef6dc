"""What a program's values are needed for, and until when: the memory that lowering may use again."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ...core.program import Atom, Equation, Literal, Program, Var
from .deferred import Constant
from .nodes import Accesses, Buffer, Node, Registers, View, variables


class Walk:
    """Where the lowering of a program stands, as far as liveness is concerned.

    `mine` are the buffers that the walk may write over when nothing reads their content any more: those made
    in it, and those that the caller has given away. The program's inputs and constants are never among them.

    A buffer that was made in the walk is needed as long as a variable that will still be used can reach it:
    its node is a view of it, or not computed yet and made of nodes that read it.
    """

    def __init__(
        self, program: Program, given: Sequence[Buffer], level: int, release: Callable[[Buffer], None]
    ) -> None:
        self._release = release  # is told of memory that is not needed any more
        self.env: dict[Var, Node] = {}
        self.number = 0
        self.mine: set[Buffer] = set(given)
        self.uses, self.read_until, self.ended = uses_of(program)
        self.reach: dict[Var, Sequence[Buffer]] = {}  # the memory that is needed as long as a variable
        self.holders: dict[Buffer, int] = {}  # and how many variables need it
        self.nested: dict[Var, int] = {}  # how many equations' nodes lie within each other
        self.level = level
        self.stored: dict[Node, View] = {}  # deferred nodes that something needed in memory
        self.holds: dict[Buffer, Node] = {}  # and which of them a buffer holds
        self.places: dict[Var, View] = {}  # where results should go
        self.permuted: dict[Var, tuple[tuple[int, ...], Var]] = {}  # see `permuted_products`
        self.scaled: dict[Var, tuple[float, Var]] = {}  # see `scaled_products`
        self.done: set[Var] = set()  # whose equations have nothing left to do: they are their operand
        self.systems = last_systems(program)
        self.factors: dict[Var, tuple[View, View, bool]] = {}  # see `keep_factors`

    def pass_by(self, read: Sequence[Var], written: Sequence[Var], made: Sequence[Buffer]) -> None:
        """Leave the equation that has been lowered.

        Note which memory its results need; let go of what it made for itself alone, and of what only
        variables need that nothing reads any more.
        """
        reach, ended = self.reach, self.ended[self.number]
        before = [reach[v] for v in read if v in reach]
        if made:
            self.mine.update(made)
            self.holders.update(dict.fromkeys(made, 1))
        if made and len(written) == 1 and _is_new(self.env[written[0]], made):
            self.hold(written[0], made[:1])
        elif made or before:
            several = made or len(before) > 1
            candidates = list(dict.fromkeys(itertools.chain(made, *before))) if several else before[0]
            for var in written:
                needed = reached(self.env[var], candidates, bool(made))
                if needed is candidates and not several and read[0] in ended and read[0] in reach:
                    reach[var] = reach.pop(read[0])  # what the operand needed
                elif needed:
                    self.hold(var, needed)
        if made:
            for factors, pivots, _ in self.factors.values():
                if factors.buffer in made:
                    self.holders[factors.buffer] += 1
                    self.holders[pivots.buffer] += 1
            self.let_go(made)
        for var in ended:
            if var in reach:
                self.let_go(reach.pop(var))
            if self.factors and var in self.factors:
                self.let_go([view.buffer for view in self.factors.pop(var)[:2]])

    def hold(self, var: Var, buffers: Sequence[Buffer]) -> None:
        """A variable needs these buffers."""
        self.reach[var] = buffers
        holders = self.holders
        for buffer in buffers:
            holders[buffer] += 1

    def let_go(self, buffers: Sequence[Buffer]) -> None:
        """One need of each of the buffers has ended."""
        holders = self.holders
        for buffer in buffers:
            left = holders[buffer] - 1
            if left:
                holders[buffer] = left
            else:
                del holders[buffer]
                self._release(buffer)


def destinations(
    program: Program, out: Sequence[View | None], uses: dict[Var, int], in_place: set[str]
) -> dict[Var, View]:
    """Where the results that are computed by an equation should go (once, if a variable is returned twice).

    What an equation changes in place goes there, too, if nothing else reads it, and so do what a result
    only reshapes and the first state of a loop.
    """
    places: dict[Var, View] = {}
    inputs = {*program.invars, *program.constvars}
    for var, view in zip(program.outvars, out, strict=True):
        if view is not None and isinstance(var, Var) and var not in inputs:
            places.setdefault(var, view)
    for eqn in reversed(program.eqns):
        primitive = eqn.primitive
        if not (primitive.name in in_place or primitive.call_like or primitive.name == "reshape"):
            continue
        for result, changed in _changed(eqn, in_place):
            if result not in places or not isinstance(changed, Var) or changed in inputs or changed in places:
                continue
            if uses[changed] == 1 and eqn.invars.count(changed) == 1:
                place: View | None = places[result]
                if place and changed.aval.shape != place.shape:
                    place = place.reshaped(changed.aval.shape)
                if place is not None:
                    places[changed] = place
    return places


def _changed(eqn: Equation, in_place: set[str]) -> Iterable[tuple[Var, Atom]]:
    """The results of an equation that may be made where an operand is, with that."""
    name, params = eqn.primitive.name, eqn.params
    if name == "reshape" or name in in_place:
        return ((eqn.outvars[0], eqn.invars[0]),)
    if name == "scan":
        first, count = params["num_consts"], params["num_carry"]
        return zip(eqn.outvars[:count], eqn.invars[first : first + count], strict=True)
    if name == "while":
        return zip(eqn.outvars, eqn.invars[params["cond_nconsts"] + params["body_nconsts"] :], strict=True)
    return ()


def read_once(program: Program, uses: dict[Var, int]) -> list[tuple[Var, Equation]]:
    """Products that are read by one equation alone, with that, if it may have nothing left to do."""
    products = {e.outvars[0] for e in program.eqns if e.primitive.name == "dot_general"}
    if not products:
        return []
    return [
        (v, eqn)
        for eqn in program.eqns
        if eqn.primitive.name in ("transpose", "mul", "div")
        for v in eqn.invars
        if isinstance(v, Var) and v in products and uses[v] == 1
    ]


def permuted_products(readers: Sequence[tuple[Var, Equation]]) -> dict[Var, tuple[tuple[int, ...], Var]]:
    """Products that are only read by a transposition: its permutation and its result."""
    return {
        product: (eqn.params["permutation"], eqn.outvars[0])
        for product, eqn in readers
        if eqn.primitive.name == "transpose"
    }


def scaled_products(readers: Sequence[tuple[Var, Equation]]) -> dict[Var, tuple[float, Var]]:
    """Products that are only multiplied by a number, which BLAS does on the way: that, and the result."""
    found: dict[Var, tuple[float, Var]] = {}
    for product, eqn in readers:
        factor = _factor(eqn)
        (result,) = eqn.outvars
        if factor is not None and result.aval.shape == product.aval.shape:
            found[product] = factor, result
    return found


def _factor(eqn: Equation) -> float | None:
    """The number by which an equation multiplies its operand."""
    name, dtype = eqn.primitive.name, eqn.outvars[0].aval.dtype
    if name == "transpose" or dtype.char not in "fd":
        return None
    literal = next((v for v in eqn.invars[name == "div" :] if isinstance(v, Literal)), None)
    if literal is None:
        return None
    value = float(np.asarray(getattr(literal.value, "_data", literal.value), dtype))
    if name == "div":  # which is a multiplication without another rounding only by powers of two
        if math.frexp(value)[0] != 0.5:
            return None
        value = 1 / value
    # Zeros and infinities would make other numbers of what is not finite, and negative ones of zeros.
    least, greatest = _LIMITS[dtype.char]
    return value if least <= value <= greatest else None


_LIMITS = {"f": (2.0**-126, 2.0**128 - 2.0**104), "d": (sys.float_info.min, sys.float_info.max)}
"""The least normal number and the greatest one."""


class Uses(NamedTuple):
    """Who reads a program's variables.

    Attributes:
        counts: how many equations and results read a variable.
        until: the number of the last equation with a variable among its operands; for results, the number of
            equations.
        ended: for each equation, the variables that nothing reads after it.
    """

    counts: dict[Var, int]
    until: dict[Var, int]
    ended: list[list[Var]]


def uses_of(program: Program) -> Uses:
    """Who reads a program's variables."""
    counts: dict[Var, int] = {}
    count = len(program.eqns)
    for v in program.outvars:
        if isinstance(v, Var):
            counts[v] = counts.get(v, 0) + 1
    until = dict.fromkeys(counts, count)
    ended: list[list[Var]] = [[] for _ in range(count)]
    for number in range(count - 1, -1, -1):
        eqn, ends = program.eqns[number], ended[number]
        for v in dict.fromkeys(eqn.invars) if len(eqn.invars) > 1 else eqn.invars:
            if isinstance(v, Var):
                if v in counts:
                    counts[v] += 1
                else:
                    counts[v] = 1
                    until[v] = number
                    ends.append(v)
        for v in eqn.outvars:
            if v not in counts:
                ends.append(v)
    return Uses(counts, until, ended)


def last_systems(program: Program) -> dict[Var, int]:
    """The number of the last equation that solves a system with a matrix."""
    return {
        eqn.invars[0]: number
        for number, eqn in enumerate(program.eqns)
        if eqn.primitive.name == "solve" and isinstance(eqn.invars[0], Var)
    }


def reads_memory(node: Node, buffer: Buffer) -> bool:
    """Whether a node's elements are computed from this memory."""
    found = Accesses()
    node.visit(variables(node.shape), found)
    return any(same_memory(v.buffer, buffer) for v, _ in found.views)


def _is_new(node: Node, made: Sequence[Buffer]) -> bool:
    """Whether a node is the first of these buffers, which has no place yet."""
    return isinstance(node, View) and node.buffer is made[0] and made[0].address is None


def reached(node: Node, candidates: Sequence[Buffer], exactly: bool) -> Sequence[Buffer]:
    """Those of the buffers that must keep their content for a node's elements to be computed later.

    exactly: whether the node may need less than all of them though it is not computed yet.
    """
    if isinstance(node, View):
        buffer = node.buffer
        if buffer.address is None:  # it has no place yet
            return [buffer] if buffer in candidates else []
        return [b for b in candidates if same_memory(b, buffer)]
    if isinstance(node, (Registers, Constant)):
        return []
    if not exactly:
        return candidates
    found = Accesses()
    node.visit(variables(node.shape), found)
    return [b for b in candidates if any(same_memory(b, v.buffer) for v, _ in found.views)]


def same_memory(x: Buffer, y: Buffer) -> bool:
    """Whether two buffers are contents of the same memory."""
    return x is y or (x.address is not None and y.address is not None and x.address.name == y.address.name)


def same_place(node: Node, view: View) -> bool:
    """Whether a node is the memory of a view, with the same layout."""
    return (
        isinstance(node, View)
        and same_memory(node.buffer, view.buffer)
        and node.offset.key == view.offset.key
        and node.strides == view.strides
        and node.shape == view.shape
    )
