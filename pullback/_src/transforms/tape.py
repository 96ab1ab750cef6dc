"""The tape of a linearization: what has to be known to write the linear program down later.

Writing an equation costs more Python than running a small operation. So plain operations, linearized ahead
of time at their types (`Step`), only leave a note on the tape: the step, the primal values that its
derivative needs, and the tangents. At the end the notes are looked up by their structure; a function whose
operations have been the same before has its residual and linear programs already, with everything that
was derived from them (the transpose, compiled forms): only the residuals remain to be computed, in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ..base import source
from ..base.config import settings
from ..base.pytree import mark_leaf_type
from ..core import rules
from ..core.array import CONSTANTS, ConcreteArray
from ..core.aval import ShapedArray
from ..core.call import call
from ..core.engine import kernels
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Atom, Equation, Literal, Program, Var
from ..core.specialize import carries_python
from ..core.staging import LinearTrace
from ..core.trace import CURRENT, Trace, Tracer, leak_error, using
from ..core.verify import verify


class Step:
    """The derivative, at fixed types, of what is done as one step.

    Attributes:
        program: from values that are known and nonzero tangents to the results' nonzero tangents.
        out_avals: the types of `program`'s results.
        out_nonzero: which of the step's results have tangents.
    """

    __slots__ = ("program", "out_avals", "out_nonzero", "depth")

    def __init__(self, program: Program, out_nonzero: tuple[bool, ...]) -> None:
        self.program = program
        self.out_avals = tuple(program.out_avals)
        self.out_nonzero = out_nonzero
        self.depth = 0  # where on the stack the user's frame was last time (see `source.place`)


class OperationStep(Step):
    """A plain operation's derivative; its known values are some of the operands and results.

    Attributes:
        needs: positions, in (operands, results), of the primal values that `program` takes.
        is_simple: whether the operation has one result, with a tangent.
        kernel: the eager engine's kernel, if the operation has one result and a kernel.
        result: the type of the (first) result.
    """

    __slots__ = ("needs", "is_simple", "kernel", "result")

    def __init__(
        self,
        primitive: Primitive,
        params: dict[str, Any],
        primal: Program,
        linear: Program,
        residuals: Sequence[Atom],
        out_nonzero: tuple[bool, ...],
    ) -> None:
        count = len(out_nonzero)
        # A residual may be computed from the operation's results as well as from its operands.
        known: dict[Any, int] = {}
        for i, v in enumerate([*primal.invars, *primal.outvars[:count]]):
            if isinstance(v, Var):
                known.setdefault(v, i)
        wanted = {v for v in residuals if isinstance(v, Var) and v not in known}
        eqns = []
        for eqn in reversed(primal.eqns):
            if any(v in wanted for v in eqn.outvars):
                eqns.append(eqn)
                wanted.update(v for v in eqn.invars if isinstance(v, Var) and v not in known)
        eqns.reverse()
        replaced: dict[Any, Atom] = dict(zip(linear.invars, residuals, strict=False))
        eqns += [
            Equation(e.primitive, [replaced.get(v, v) for v in e.invars], e.outvars, e.params, e.location)
            for e in linear.eqns
        ]
        outs = [replaced.get(v, v) for v in linear.outvars]
        used = {v for eqn in eqns for v in eqn.invars} | set(outs)
        needed = [(i, v) for v, i in known.items() if v in used]
        tangents = linear.invars[len(residuals) :]
        super().__init__(
            Program([*[v for _, v in needed], *tangents], outs, eqns, name=primitive.name), out_nonzero
        )
        self.needs = tuple(i for i, _ in needed)
        self.is_simple = not primitive.multiple_results and out_nonzero == (True,)
        kernel = None if primitive.multiple_results else kernels.get(primitive)
        self.kernel = partial(kernel, **params) if kernel is not None and params else kernel
        self.result = primal.outvars[0].aval


class _Structure:
    """A tape's programs: `known` computes residuals from the values on the tape, `linear` is the linear rest.

    `sources` says for each residual where it is: in the tape's values (an index) or, if negative, in the
    results of `known` (the complement of an index).
    """

    __slots__ = ("known", "linear", "sources", "uses")

    def __init__(self, full: Program) -> None:
        linear_vars: set[Any] = set(full.invars)
        known_eqns: list[Equation] = []
        linear_eqns: list[Equation] = []
        for eqn in full.eqns:
            if any(v in linear_vars for v in eqn.invars):
                linear_eqns.append(eqn)
                linear_vars.update(eqn.outvars)
            else:
                known_eqns.append(eqn)
        position = {v: i for i, v in enumerate(full.constvars)}
        residuals: list[Var] = []
        computed: list[Var] = []
        sources: list[int] = []
        for v in [v for eqn in linear_eqns for v in eqn.invars] + list(full.outvars):
            if isinstance(v, Literal) or v in linear_vars or v in residuals:
                continue
            residuals.append(v)
            if v in position:
                sources.append(position[v])
            else:
                sources.append(~len(computed))
                computed.append(v)
        self.known = Program(full.constvars, computed, known_eqns, name="residuals")
        self.linear = Program(full.invars, full.outvars, linear_eqns, residuals, (), full.name)
        self.sources = tuple(sources)
        self.uses = 0

    def residuals(self, values: Sequence[Any]) -> list[Any]:
        """The residuals, from the values on the tape, under the current trace."""
        self.uses += 1
        computed: Sequence[Any] = ()
        if self.known.outvars:
            if self.uses == 1 or not CURRENT.get().eager or carries_python(self.known):
                computed = evaluate(self.known, values)
            else:
                computed = call(self.known, values)
        return [values[i] if i >= 0 else computed[~i] for i in self.sources]


_LIMIT = 1024
_structures: dict[Any, _Structure] = {}


class TangentTracer(Tracer):
    """A tangent on the tape, known by its reference."""

    __slots__ = ("aval", "ref")

    def __init__(self, trace: Tape, aval: ShapedArray, ref: int) -> None:
        self._trace = trace
        self.aval = aval
        self.ref = ref


mark_leaf_type(TangentTracer)


class Tape(Trace):
    """Records the operations on tangents; everything else goes to `parent`.

    The log is flat: for a step, `(step, id of the code, offset, references of the values and tangents)`; for
    an operation recorded by its rule, `(primitive, params, id, offset, references, types of the results)`. It
    is also the key by which the structure is looked up. A reference is a negative number for a tangent (the
    complement of its place in the order of appearance), the index of a constant, or a literal's id.
    """

    __slots__ = ("parent", "_log", "_codes", "_count", "_inputs", "consts", "_const_of", "_literals")

    name = "linearization"

    def __init__(self, parent: Trace) -> None:
        super().__init__(eager=parent.eager)
        self.parent = parent
        self._log: list[Any] = []
        self._codes: list[Any] = []
        self._count = 0
        self._inputs: list[ShapedArray] = []
        self.consts: list[Any] = []
        self._const_of: dict[int, int] = {}
        self._literals: dict[int, Any] = {}

    def new_input(self, aval: ShapedArray) -> int:
        """The reference of a new input of this type; all inputs come first."""
        self._inputs.append(aval)
        self._count += 1
        return ~(self._count - 1)

    def tangent(self, ref: int, aval: ShapedArray) -> Any:
        """The value behind a reference, for rules to compute with."""
        if ref < 0:
            return TangentTracer(self, aval, ref)
        literal = self._literals.get(ref)
        return self.consts[ref] if literal is None else literal

    def ref(self, value: Any) -> int:
        """The reference of a tangent or of a value that is known to the trace below."""
        if type(value) is TangentTracer and value._trace is self:
            return value.ref
        key = id(value)
        index = self._const_of.get(key)
        if index is None:
            if type(value) is ConcreteArray:
                if key in CONSTANTS:
                    # Numbers in the code are the same at every point; other scalars are residuals.
                    self._literals[key] = value
                    return key
            elif not value._trace.active:
                raise leak_error(value)
            index = self._const_of[key] = len(self.consts)
            self.consts.append(value)  # keeps `value` alive, so that its id stays its own
        return index

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        for a in args:
            if type(a) is TangentTracer and a._trace is self:
                rule = rules.staging.get(primitive)
                return self.record(primitive, args, params) if rule is None else rule(self, args, params)
        return self.parent.process(primitive, args, params)

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        if any(type(a) is TangentTracer and a._trace is self for a in args):
            with using(self):
                return evaluate(program, args)
        return self.parent.run(program, args)

    def record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Log an operation on tangents; returns its results."""
        refs = tuple([a.ref if type(a) is TangentTracer and a._trace is self else self.ref(a) for a in args])
        out = rules.abstract[primitive](*[a.aval for a in args], **params)
        avals = tuple(out) if primitive.multiple_results else (out,)
        location = source.LOCATION.get() or source.capture()
        code, offset = (None, 0) if location is None else location.place
        self._log += (primitive, tuple(params.items()), id(code), offset, refs, avals)
        self._codes.append(code)
        first = self._count
        self._count += len(avals)
        if not primitive.multiple_results:
            return TangentTracer(self, out, ~first)
        return [TangentTracer(self, a, ~(first + i)) for i, a in enumerate(avals)]

    def record_step(self, step: Step, values: Sequence[Any], tangents: Sequence[int]) -> int:
        """Log a step; returns the reference of its first result (the next ones follow downwards)."""
        code, offset = source.place(step)
        log = self._log
        log += (step, id(code), offset)
        known = self._const_of
        for v in values:
            index = known.get(id(v))
            log.append(self.ref(v) if index is None else index)
        log += tangents
        self._codes.append(code)
        first = self._count
        self._count = first + len(step.out_avals)
        return ~first

    def record_program(self, step: Step, values: Sequence[Any], tangents: Sequence[int]) -> Iterable[int]:
        """Log the derivative of a program as a step; returns the references of its results."""
        first = self.record_step(step, values, tangents)
        return range(first, first - len(step.out_avals), -1)

    def finish_open(self, outputs: Sequence[int], name: str = "") -> tuple[Program, list[Any]]:
        """The linear program with its constants left open, and the residuals that belong there.

        Tapes of equal structure give the same program. Runs what computes residuals under the current trace.
        """
        self.active = False
        key = (
            tuple(outputs),
            tuple(self._inputs),
            tuple([v.aval for v in self.consts]),
            tuple(self._log),
        )
        can_be_kept = True
        try:
            structure = _structures.get(key)
        except TypeError:  # a parameter that cannot be hashed
            structure, can_be_kept = None, False
        if structure is None:
            structure = _Structure(self._write_out(outputs, name))
            if settings().enable_checks:
                verify(structure.known.with_consts_as_inputs())
                verify(structure.linear.with_consts_as_inputs())
            if can_be_kept:
                if len(_structures) >= _LIMIT:
                    _structures.clear()
                _structures[key] = structure
        return structure.linear, structure.residuals(self.consts)

    def _write_out(self, outputs: Sequence[int], name: str) -> Program:
        """The log as a program; its constants, left open, are those of the tape."""
        constvars = [Var(v.aval) for v in self.consts]
        tangents: list[Atom] = [Var(a) for a in self._inputs]
        invars = [v for v in tangents if isinstance(v, Var)]
        eqns: list[Equation] = []

        def atom(ref: int) -> Atom:
            if ref < 0:
                return tangents[~ref]
            literal = self._literals.get(ref)
            return constvars[ref] if literal is None else Literal(literal, literal.aval)

        log = self._log
        codes = iter(self._codes)
        i = 0
        while i < len(log):
            item = log[i]
            if isinstance(item, Step):
                program = item.program
                count = len(program.invars)
                offset = log[i + 2]
                refs = log[i + 3 : i + 3 + count]
                i += 3 + count
                names: dict[Any, Atom] = dict(zip(program.invars, map(atom, refs), strict=True))
                location = _location(next(codes), offset)
                for eqn in program.eqns:
                    fresh = [Var(v.aval) for v in eqn.outvars]
                    operands = [names.get(v, v) for v in eqn.invars]
                    eqns.append(Equation(eqn.primitive, operands, fresh, eqn.params, location))
                    names.update(zip(eqn.outvars, fresh, strict=True))
                tangents += [names.get(v, v) for v in program.outvars]
            else:
                _, params, _, offset, refs, avals = log[i : i + 6]
                i += 6
                outvars = [Var(a) for a in avals]
                location = _location(next(codes), offset)
                eqns.append(Equation(item, [atom(r) for r in refs], outvars, dict(params), location))
                tangents += outvars
        return Program(invars, [atom(r) for r in outputs], eqns, constvars, (), name)


def _location(code: Any, offset: int) -> source.Location | None:
    return None if code is None else source.Location(code, offset)


class StagedTape(LinearTrace):
    """The tape while a program is being staged: the linear program is written down at once.

    It is transposed or run once, so there is nothing to look up. The reference of a tangent is the tangent
    itself.
    """

    __slots__ = ()

    def tangent(self, ref: Any, aval: ShapedArray) -> Any:
        return ref

    def ref(self, value: Any) -> Any:
        return value

    def record_program(self, step: Step, values: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """Write down the derivative of a program; returns the references of its results."""
        return self.run(step.program, [*values, *tangents])

    def finish_open(self, outputs: Sequence[Any], name: str = "") -> tuple[Program, list[Any]]:
        """The linear program with its constants left open, and the residuals that belong there."""
        full = self.finish(outputs, name)
        return Program(full.invars, full.outvars, full.eqns, full.constvars, (), name), self.consts
