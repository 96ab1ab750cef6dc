"""The scalar computational graph of a program: a node for each input entry and each entry that is computed.

The program is walked once, under a staging trace: values and local derivatives are staged on the way, so
that the graph's edges carry scalars of the program that is being made. Entries that an operation only moves
(reshapes, slices, concatenations, transposes, broadcasts, gathers with known indices) are no nodes of their
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...base import source
from ...base.errors import NotDifferentiableError, ShapeError
from ...control.checkpoint import checkpoint_p
from ...core.array import ConcreteArray
from ...core.call import jit_p
from ...core.kinds import kind
from ...core.program import Equation, Literal, Program, Var
from ...core.specialize import carries_python, is_plain
from ...core.trace import CURRENT, EVAL, using
from ...ops.arithmetic import div_p, mul_p
from ...transforms.linearize import linearize_program
from .coefficients import ONE, Arithmetic, Coefficient
from .local import Local, Reciprocals, elementwise_program, matrix, places
from .structure import Structure

NODES_LIMIT = 20_000
EDGES_LIMIT = 400_000

_LOOPS = {
    "loop",
    "loop_adjoint",
    "loop_adjoint_mapped",
    "loop_adjoint_tangent",
    "loop_record",
    "loop_tangent",
    "odeint",
    "odeint_tangent",
    "scan",
    "while",
    "while_tangent",
}
_INSTEAD = "use jacfwd, jacrev or jacobian without an order, which work on whole arrays"

_ZERO = -1  # in place of a node: an entry that does not depend on the inputs
Nodes = np.ndarray[Any, Any]


class Node:
    """An entry that is computed: its dtype, and the operation and place in the user's code that computes
    it."""

    __slots__ = ("dtype", "name", "location")

    def __init__(self, dtype: Any, name: str, location: Any = None) -> None:
        self.dtype = dtype
        self.name = name
        self.location = location


class Graph:
    """The graph while it is built and while its vertices are eliminated.

    Attributes:
        nodes: in topological order, inputs first.
        inputs: the number of inputs.
        pred, succ: for each node its neighbours; `pred[b][a]` is the coefficient on the edge from a to b.
        outputs: for each entry of the outputs its node, or -1 if it is a constant.
        vertices: the nodes to be eliminated.
        arithmetic: counts what the eliminations make the program multiply and add.
    """

    def __init__(self, input_dtypes: Iterable[Any]) -> None:
        self.nodes = [Node(dtype, "input") for dtype in input_dtypes]
        self.inputs = len(self.nodes)
        self.pred: list[dict[int, Coefficient]] = [{} for _ in self.nodes]
        self.succ: list[set[int]] = [set() for _ in self.nodes]
        self.outputs: list[int] = []
        self.vertices: tuple[int, ...] = ()
        self.arithmetic = Arithmetic()
        self._edges = 0

    def add(self, node: Node, edges: dict[int, Coefficient]) -> int:
        """A new node with these edges into it."""
        if len(self.nodes) >= NODES_LIMIT or self._edges > EDGES_LIMIT:
            raise ShapeError(
                f"jacobian with an order takes arrays apart into their entries, and this function's graph "
                f"has "
                f"more than {NODES_LIMIT} entries or {EDGES_LIMIT} edges (at {node.name!r}). For larger "
                f"arrays "
                f"{_INSTEAD}."
            )
        number = len(self.nodes)
        self.nodes.append(node)
        self.pred.append(edges)
        self.succ.append(set())
        for p in edges:
            self.succ[p].add(number)
        self._edges += len(edges)
        return number

    def eliminate(self, v: int) -> None:
        """Connect the predecessors of v with its successors, and take v out."""
        pred, succ = self.pred, self.succ
        incoming = pred[v]
        for s in sorted(succ[v]):
            dtype = self.nodes[s].dtype
            edges = pred[s]
            out = edges.pop(v)
            for p, into in incoming.items():
                new = self.arithmetic.times(out, into, dtype)
                old = edges.get(p)
                edges[p] = new if old is None else self.arithmetic.plus(old, new, dtype)
                succ[p].add(s)
        for p in incoming:
            succ[p].discard(v)
        pred[v] = {}
        succ[v] = set()

    def finish(self, outputs: Sequence[int]) -> None:
        """Set the outputs: leave out what they do not need, and number the rest in order."""
        ends: dict[int, int] = {}
        for u in outputs:
            if u >= 0 and u not in ends:
                # Outputs stay, so one that is an input or used further is copied.
                is_end = u >= self.inputs and not self.succ[u]
                copy = Node(self.nodes[u].dtype, "output", self.nodes[u].location)
                ends[u] = u if is_end else self.add(copy, {u: ONE})
        needed = set(ends.values())
        for u in range(len(self.nodes) - 1, -1, -1):
            if u in needed:
                needed.update(self.pred[u])
        kept = [u for u in range(len(self.nodes)) if u < self.inputs or u in needed]
        number = {u: i for i, u in enumerate(kept)}
        self.nodes = [self.nodes[u] for u in kept]
        self.pred = [{number[p]: c for p, c in self.pred[u].items()} for u in kept]
        self.succ = [{number[s] for s in self.succ[u] if s in number} for u in kept]
        self.outputs = [number[ends[u]] if u >= 0 else _ZERO for u in outputs]
        final = set(self.outputs)
        self.vertices = tuple(u for u in range(self.inputs, len(kept)) if u not in final)

    def structure(self) -> Structure:
        """The pattern of the (finished) graph."""
        edges = [(p, s, c.unit) for s, into in enumerate(self.pred) for p, c in into.items()]
        return Structure(len(self.nodes), edges, self.vertices)


def build(program: Program, inputs: Sequence[Any], count: int) -> tuple[Graph, list[Any]]:
    """The graph of the first `count` outputs of `program` at `inputs`, and the values of all outputs.

    Runs under the current trace, which must be staging.
    """
    builder = _Builder(Graph([v.aval.dtype for v in program.invars for _ in range(v.aval.size)]))
    nodes: list[Nodes | None] = []
    number = 0
    for v in program.invars:
        nodes.append(np.arange(number, number + v.aval.size).reshape(v.aval.shape))
        number += v.aval.size
    outs, out_nodes = builder.run(program, program.consts, inputs, nodes)
    ends: list[int] = []
    for out, n in zip(program.outvars[:count], out_nodes, strict=False):
        ends.extend([_ZERO] * out.aval.size if n is None else n.reshape(-1).tolist())
    builder.graph.finish(ends)
    return builder.graph, outs


class _Builder:
    """Walks programs with, for each variable, its value and the nodes of its entries (None: all constant)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reciprocals = Reciprocals()

    def run(
        self,
        program: Program,
        consts: Sequence[Any],
        inputs: Sequence[Any],
        input_nodes: Sequence[Nodes | None],
    ) -> tuple[list[Any], list[Nodes | None]]:
        values: dict[Var, Any] = dict(zip(program.constvars, consts, strict=True))
        values.update(zip(program.invars, inputs, strict=True))
        nodes: dict[Var, Nodes] = {
            v: n for v, n in zip(program.invars, input_nodes, strict=True) if n is not None
        }
        for eqn in program.eqns:
            operands = [v.value if isinstance(v, Literal) else values[v] for v in eqn.invars]
            places_in = [nodes.get(v) if isinstance(v, Var) else None for v in eqn.invars]
            outs, out_nodes = self._equation(eqn, operands, places_in)
            values.update(zip(eqn.outvars, outs, strict=True))
            nodes.update({v: n for v, n in zip(eqn.outvars, out_nodes, strict=True) if n is not None})
        return (
            [v.value if isinstance(v, Literal) else values[v] for v in program.outvars],
            [nodes.get(v) if isinstance(v, Var) else None for v in program.outvars],
        )

    def _equation(
        self, eqn: Equation, operands: list[Any], nodes: list[Nodes | None]
    ) -> tuple[Sequence[Any], Sequence[Nodes | None]]:
        if eqn.primitive in (jit_p, checkpoint_p):
            inner = eqn.params["program" if eqn.primitive is jit_p else "jaxpr"]
            return self.run(inner, (), operands, nodes)
        if all(n is None for n in nodes):
            return _evaluate(eqn, operands), [None] * len(eqn.outvars)
        if eqn.primitive.name in _LOOPS:
            raise _no_loops(eqn)
        # The operation as a program of its distinct operands: x * x has one edge from x.
        variables: list[Var] = []
        given: list[Any] = []
        moving: list[Nodes] = []
        mask = []
        for atom, o, n in zip(eqn.invars, operands, nodes, strict=True):
            if isinstance(atom, Var) and atom not in variables:
                variables.append(atom)
                given.append(o)
                mask.append(n is not None)
                if n is not None:
                    moving.append(n)
        single = Program(variables, eqn.outvars, [eqn], name=eqn.primitive.name)
        split = linearize_program(single, tuple(mask))
        count = len(eqn.outvars)
        outs = self._values(split.primal, given, count)
        residuals = split.residuals(given, outs[count:])
        token = source.LOCATION.set(eqn.location)
        try:
            found = iter(self._linear(eqn, split.linear, residuals, moving))
        finally:
            source.LOCATION.reset(token)
        return outs[:count], [next(found) if nz else None for nz in split.out_nonzero]

    def _values(self, program: Program, given: Sequence[Any], count: int) -> list[Any]:
        """The results of an operation (the first `count`) and the residuals of its derivative.

        Divisions that only the derivative needs are products with a reciprocal: x / y has the partial
        derivatives 1 / y and -(x / y) / y.
        """
        values: dict[Var, Any] = dict(zip(program.invars, given, strict=True))
        results = program.outvars[:count]
        for eqn in program.eqns:
            operands = [v.value if isinstance(v, Literal) else values[v] for v in eqn.invars]
            if (
                eqn.primitive is div_p
                and eqn.outvars[0] not in results
                and self.reciprocals.apply(operands[1])
            ):
                values[eqn.outvars[0]] = mul_p.bind(operands[0], self.reciprocals.of(operands[1]))
                continue
            out = eqn.primitive.bind(*operands, **eqn.params)
            values.update(zip(eqn.outvars, out if eqn.primitive.multiple_results else [out], strict=True))
        return [v.value if isinstance(v, Literal) else values[v] for v in program.outvars]

    def _linear(
        self, eqn: Equation, program: Program, residuals: Sequence[Any], nodes: Sequence[Nodes]
    ) -> list[Nodes | None]:
        """The nodes of the results of a linear program: the derivative of `eqn`."""
        if eqn.primitive.elementwise:
            found = elementwise_program(program, residuals, self.reciprocals)
            if found is not None:
                return [
                    self._entrywise(eqn, v.aval, factors, nodes)
                    for v, factors in zip(program.outvars, found, strict=True)
                ]
        first = len(self.graph.nodes)
        known: list[Nodes | None] = [None] * len(residuals)
        _, results = self._walk(eqn, program, [*residuals, *[None] * len(nodes)], [*known, *nodes])
        # What lies between is no vertex where eliminating it takes no multiplication.
        keep = {int(u) for n in results if n is not None for u in n.reshape(-1)}
        graph = self.graph
        for u in range(first, len(graph.nodes)):
            if u not in keep and _is_free(graph, u):
                graph.eliminate(u)
        return results

    def _walk(
        self, eqn: Equation, program: Program, given: Sequence[Any], given_nodes: Sequence[Nodes | None]
    ) -> tuple[list[Any], list[Nodes | None]]:
        """Equations of a linear program one by one, each with vertices for its results."""
        values: dict[Var, Any] = dict(zip(program.invars, given, strict=True))
        nodes: dict[Var, Nodes] = {
            v: n for v, n in zip(program.invars, given_nodes, strict=True) if n is not None
        }
        for inner in program.eqns:
            linear = [isinstance(v, Var) and v in nodes for v in inner.invars]
            operands = [v.value if isinstance(v, Literal) else values[v] for v in inner.invars]
            if inner.primitive.name in _LOOPS and True in linear:
                raise _no_loops(eqn)
            results: Sequence[Nodes | None]
            if inner.primitive is jit_p:
                inner_nodes = [nodes.get(v) if isinstance(v, Var) else None for v in inner.invars]
                outs, results = self._walk(eqn, inner.params["program"], operands, inner_nodes)
            elif True not in linear:
                outs, results = list(_evaluate(inner, operands)), [None] * len(inner.outvars)
            else:
                outs = [None] * len(inner.outvars)
                moving = [nodes[v] for v in inner.invars if isinstance(v, Var) and v in nodes]
                results = self._one(eqn, inner, linear, operands, moving)
            values.update(zip(inner.outvars, outs, strict=True))
            nodes.update({v: n for v, n in zip(inner.outvars, results, strict=True) if n is not None})
        return (
            [values.get(v) if isinstance(v, Var) else v.value for v in program.outvars],
            [nodes.get(v) if isinstance(v, Var) else None for v in program.outvars],
        )

    def _one(
        self, eqn: Equation, inner: Equation, linear: list[bool], operands: list[Any], moving: list[Nodes]
    ) -> list[Nodes | None]:
        if inner.primitive.elementwise:
            tangents = [v for v, lin in zip(inner.invars, linear, strict=True) if lin and isinstance(v, Var)]
            known = [v for v, lin in zip(inner.invars, linear, strict=True) if not lin and isinstance(v, Var)]
            values = {v: o for v, o in zip(inner.invars, operands, strict=True) if isinstance(v, Var)}
            distinct = list(dict.fromkeys(known))
            repeated = len(set(tangents)) < len(tangents)
            if not repeated:
                single = Program([*distinct, *tangents], inner.outvars, [inner])
                found = elementwise_program(single, [values[v] for v in distinct], self.reciprocals)
                if found is not None:
                    return [self._entrywise(eqn, inner.outvars[0].aval, found[0], moving)]
        matrices = matrix(inner, linear, operands, EDGES_LIMIT * 10)
        if matrices is None:
            raise ShapeError(
                f"jacobian with an order takes arrays apart into their entries; the operation "
                f"{eqn.primitive.name!r} on arrays of "
                f"{', '.join(v.aval.str_short() for v in inner.invars)} is too "
                f"large for that. For such arrays {_INSTEAD}."
            )
        return [
            self._rows(eqn, inner, v.aval, rows, moving)
            for v, rows in zip(inner.outvars, matrices, strict=True)
        ]

    def _entrywise(self, eqn: Equation, aval: Any, factors: dict[int, Any], nodes: Sequence[Nodes]) -> Nodes:
        """The nodes of the entries of an elementwise operation."""
        out = np.full(aval.size, _ZERO)
        operands = []
        for k, factor in factors.items():
            source_of = nodes[k].reshape(-1)[places(nodes[k].shape, aval.shape)]
            place = None if factor.array is None else places(factor.array.aval.shape, aval.shape)
            operands.append((source_of, factor, place))
        for i in range(aval.size):
            edges: dict[int, Coefficient] = {}
            for source_of, factor, place in operands:
                self._merge(edges, int(source_of[i]), factor.at(place, i), aval.dtype)
            out[i] = self._node(eqn, aval.dtype, edges)
        return out.reshape(aval.shape)

    def _rows(self, eqn: Equation, inner: Equation, aval: Any, rows: Local, nodes: Sequence[Nodes]) -> Nodes:
        """The nodes of the entries of an operation with this matrix."""
        out = np.full(aval.size, _ZERO)
        flat = [n.reshape(-1) for n in nodes]
        moves = not inner.primitive.elementwise and all(
            len(row) <= 1 and all(c.known and c.number == 1 for c in row.values()) for row in rows
        )
        for i, row in enumerate(rows):
            edges: dict[int, Coefficient] = {}
            for (k, entry), coefficient in row.items():
                self._merge(edges, int(flat[k][entry]), coefficient, aval.dtype)
            if moves and edges:
                (u,) = edges
                if self.graph.nodes[u].dtype == aval.dtype:
                    out[i] = u
                    continue
            out[i] = self._node(eqn, aval.dtype, edges)
        return out.reshape(aval.shape)

    def _merge(self, edges: dict[int, Coefficient], u: int, coefficient: Coefficient, dtype: Any) -> None:
        if u == _ZERO:
            return
        old = edges.get(u)
        edges[u] = coefficient if old is None else self.graph.arithmetic.plus(old, coefficient, dtype)

    def _node(self, eqn: Equation, dtype: Any, edges: dict[int, Coefficient]) -> int:
        edges = {u: c for u, c in edges.items() if not (c.known and c.number == 0)}
        if not edges:
            return _ZERO
        if kind(dtype) == "c" and any(kind(self.graph.nodes[u].dtype) != "c" for u in edges):
            raise _no_complex(eqn)
        return self.graph.add(Node(dtype, eqn.primitive.name, eqn.location), edges)


def _evaluate(eqn: Equation, operands: Sequence[Any]) -> Sequence[Any]:
    """An operation on constants: now, if they are known (indices decide which entries are read)."""
    known = is_plain(eqn.primitive) and all(type(o) is ConcreteArray for o in operands)
    small = sum(v.aval.size for v in eqn.outvars) <= NODES_LIMIT
    if known and small and not carries_python(Program((), (), [eqn])):
        with using(EVAL):
            out = eqn.primitive.bind(*operands, **eqn.params)
    else:
        out = CURRENT.get().process(eqn.primitive, tuple(operands), eqn.params)
    return out if eqn.primitive.multiple_results else [out]


def _is_free(graph: Graph, u: int) -> bool:
    """Whether eliminating u multiplies by 1 and -1 only."""
    return all(c.unit for c in graph.pred[u].values()) or all(graph.pred[s][u].unit for s in graph.succ[u])


def _no_loops(eqn: Equation) -> NotDifferentiableError:
    return NotDifferentiableError(
        f"jacobian with an order works on straight code, and {eqn.primitive.name!r} is a loop whose turns "
        f"would be "
        "one vertex each. Write a short loop as a Python loop, which is unrolled when it is traced; for a "
        f"long one {_INSTEAD}.\n{source.describe(eqn.location)}"
    )


def _no_complex(eqn: Equation) -> NotDifferentiableError:
    return NotDifferentiableError(
        f"jacobian with an order has one number on each edge, but {eqn.primitive.name!r} makes complex "
        f"values of "
        f"real ones; {_INSTEAD}.\n{source.describe(eqn.location)}"
    )


__all__ = ["EDGES_LIMIT", "NODES_LIMIT", "Graph", "Node", "build"]
