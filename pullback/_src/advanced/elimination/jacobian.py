"""`jacobian`: the Jacobian by a basis, or by vertex elimination in a given order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...api.common import (
    Selected,
    check_callable,
    check_inputs,
    flatten_aux,
    flatten_output,
    name_of,
    split_aux,
    wraps,
)
from ...api.jacobian import jacrev
from ...api.jit import JitFunction, jit
from ...base import pytree
from ...base.config import settings
from ...base.errors import DTypeError
from ...core.array import Array, as_array
from ...core.aval import ShapedArray
from ...core.evaluate import evaluate
from ...core.kinds import kind
from ...core.staging import stage
from ...ops.convert import convert_element_type
from ...ops.joining import concatenate
from ...ops.structural import full, reshape
from .coefficients import Coefficient
from .graph import Graph, build
from .orders import Chosen, check_order, choose, seconds
from .report import report


def jacobian(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    batch_size: int | None = None,
    order: str | Sequence[int] | None = None,
    budget: float | str = 10.0,
    count_units: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of `fun`; with `order`, by eliminating the vertices of its computational graph.

    Without `order` this is `jacrev`. With it, `fun` is traced into a graph of scalars, each edge of which is
    a local partial derivative, and the inner vertices are eliminated one after the other: what remains are
    the entries of the Jacobian. Forward and reverse mode (which know what is zero) are two of the orders;
    others take fewer multiplications, which pays off for small functions that are evaluated very often. The
    result is traced once for each combination of argument types and compiled, as by `jit`.

    Args:
        fun: a function of pytrees of arrays that returns a pytree of arrays (with `has_aux`, a pair of that
            and auxiliary data). With `order`, straight code on small arrays, without loops on what is
            differentiated.
        argnums: the positional arguments by which to differentiate.
        has_aux: whether `fun` returns auxiliary data, which are passed through.
        holomorphic: a promise that `fun` is holomorphic; inputs must then be complex.
        allow_int: whether integer inputs are allowed, whose derivatives are of dtype float0; only without
            `order`.
        batch_size: how many directions `jacrev` takes at a time; only without `order`.
        order: "forward", "reverse", "markowitz" (always a vertex with the smallest product of the numbers of
            its neighbours before and after it), "search" (simulated annealing), or a list of the vertices'
            numbers as `explain` shows them.
        budget: the time that a search may take, in seconds or as a text such as "500ms", "10s", "2min". A
            search that ends earlier by itself finds the same order each time. Orders are kept, in memory and
            on disk.
        count_units: whether the search counts multiplications by 1 and -1 too, which are never carried out.

    Returns:
        A function of the same arguments; its result is that of `jacrev`. Of the other arguments, arrays,
        Python floats and complex numbers are traced, and everything else is static and has to be hashable.
        With `order` it has a method `explain(*args)`: a text with the graph's size and the multiplications
        of each order.

    Raises:
        ValueError: an unknown order, a list that is no permutation of the vertices, no positive budget.
        NotDifferentiableError: a loop.
        ShapeError: arrays too large to be taken apart.
        DTypeError: complex values without `holomorphic`.

    Source: Griewank & Walther, "Evaluating Derivatives" (2008), chapter 9; Griewank & Reese (1991).
    """
    if order is None:
        if count_units or budget != 10.0:
            raise ValueError('jacobian: budget and count_units belong to a search; pass order="search"')
        return jacrev(fun, argnums, has_aux, holomorphic, allow_int, batch_size=batch_size)
    check_callable("jacobian", fun)
    if batch_size is not None:
        raise ValueError("jacobian: batch_size has no meaning with an order, which pushes no basis")
    if allow_int:
        raise ValueError(
            "jacobian: allow_int=True has no meaning with an order; differentiate by floats only"
        )
    return _Eliminated(
        fun, argnums, has_aux, holomorphic, check_order(order), seconds(budget), bool(count_units)
    )


class _Eliminated(JitFunction):
    """A Jacobian by vertex elimination, traced and compiled for each combination of argument types.

    A call all of whose arguments are traced is a call of a jitted function, and costs no more.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        argnums: int | tuple[int, ...],
        has_aux: bool,
        holomorphic: bool,
        order: Any,
        budget: float,
        count_units: bool,
    ) -> None:
        @wraps(fun, "jacobian")
        def traced(*args: Any, **kwargs: Any) -> Any:
            return self._run(self._select(args, kwargs))

        super().__init__(traced, (), frozenset(), inline=False)
        self.__wrapped__ = self._differentiated = fun
        self._argnums = argnums
        self._has_aux = has_aux
        self._holomorphic = holomorphic
        self._order = order
        self._budget = budget
        self._count_units = count_units
        self._with_static: dict[Any, JitFunction] = {}  # for each combination of static arguments

    def __repr__(self) -> str:
        return f"<jacobian of {name_of(self._differentiated)}, order={self._order!r}>"

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        selected = self._select(args, kwargs)
        others, static, key, rebuild = _split(selected)
        # A native function for a traced array of a weak integer type would take Python's integers, too.
        if not static and not any(_is_weak_integer(v) for v in others) and not settings().disable_jit:
            return super()._call(args, kwargs)
        compiled = self._with_static.get(key)
        if compiled is None:

            def traced(leaves: list[Any], others: list[Any]) -> Any:
                return self._run(rebuild(leaves, others))

            traced.__name__ = self._fun.__name__
            compiled = self._with_static[key] = jit(traced)
        if settings().disable_jit:
            # The graph is that of the traced function, which is then run operation by operation.
            staged = compiled.stage((selected.leaves, others), {})
            return staged.unflatten(evaluate(staged.program, [*selected.leaves, *map(as_array, others)]))
        return compiled(selected.leaves, others)

    def clear_cache(self) -> None:
        """Forget all traced programs."""
        super().clear_cache()
        self._with_static.clear()

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """A text: the size of the graph at these arguments' types, and the multiplications of each order."""
        selected = self._select(args, kwargs)
        others, _, _, rebuild = _split(selected)
        found: list[tuple[Graph, Chosen, Any]] = []

        def traced(leaves: list[Any], others: list[Any]) -> Any:
            return self._run(rebuild(leaves, others), found.append)

        jit(traced).eval_shape(selected.leaves, others)
        graph, chosen, structure = found[0]
        return report(name_of(self._differentiated), graph, structure, self._order, chosen)

    def _select(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Selected:
        selected = Selected("jacobian", self._argnums, args, kwargs)
        if selected.points is not None:
            raise TypeError(
                "jacobian with an order differentiates by arrays, not by values of registered types; "
                "use jacobian without an order, or differentiate by the arrays that such a value is made of"
            )
        check_inputs("jacobian", selected, holomorphic=self._holomorphic, allow_int=False)
        if not self._holomorphic:
            for i, leaf in enumerate(selected.leaves):
                if kind(leaf.aval.dtype) == "c":
                    raise DTypeError(
                        "jacobian with an order expects real-valued inputs unless holomorphic=True, got "
                        f"{leaf.aval.str_short()} at argument {selected.position(i)}. If the function is "
                        "holomorphic pass holomorphic=True; otherwise use jvp or vjp directly."
                    )
        return selected

    def _run(self, selected: Selected, note: Callable[[Any], None] | None = None) -> Any:
        """The Jacobian, under a staging trace."""
        fun = self._differentiated
        state: dict[str, Any] = {}

        def flat(*leaves: Any) -> list[Any]:
            out = selected.call(fun, leaves)
            aux: list[Any] = []
            if self._has_aux:
                out, rest = split_aux("jacobian", out)
                aux, state["rebuild_aux"] = flatten_aux(rest)
            outs, state["tree"] = flatten_output(out, "jacobian: the function's output")
            state["count"] = len(outs)
            for leaf in outs:
                self._check_output(leaf.aval)
            return [*outs, *aux]

        inputs = [v.aval for v in selected.leaves]
        program = stage(flat, inputs, name=name_of(fun), purpose=f"jacobian ({name_of(fun)})")
        count = state["count"]
        graph, values = build(program, selected.leaves, count)
        structure = graph.structure()
        chosen = choose(structure, self._order, self._count_units, self._budget)
        for v in chosen.order:
            graph.eliminate(v)
        if note is not None:
            note((graph, chosen, structure))
        rows = _blocks(graph, program.out_avals[:count], inputs)
        blocks = [selected.unflatten(row) for row in rows]
        result = blocks[0] if state["tree"] is None else pytree.unflatten(state["tree"], blocks)
        if self._has_aux:
            return result, state["rebuild_aux"](values[count:])
        return result

    def _check_output(self, aval: ShapedArray) -> None:
        letter = kind(aval.dtype)
        wanted = "c" if self._holomorphic else "f"
        if letter != wanted:
            raise DTypeError(
                f"jacobian with an order{' and holomorphic=True' if self._holomorphic else ''} expects "
                f"outputs of a {'complex' if wanted == 'c' else 'real float'} dtype, but "
                f"{name_of(self._differentiated)} returned {aval.str_short()}"
            )


def _split(
    selected: Selected,
) -> tuple[list[Any], tuple[Any, ...], Any, Callable[[list[Any], list[Any]], Selected]]:
    """The traced ones of the other arguments, the static ones with their types, a key of all that is static,
    and what puts a call together."""
    chosen = set(selected.argnums)
    rest = [a for i, a in enumerate(selected.args) if i not in chosen]
    leaves, tree = pytree.flatten((rest, selected.kwargs))
    is_traced = [isinstance(v, (Array, float, complex)) or _is_array(v) for v in leaves]
    others = [v for v, t in zip(leaves, is_traced, strict=True) if t]
    static = tuple((type(v), v) for v, t in zip(leaves, is_traced, strict=True) if not t)
    key = (selected.tree, len(selected.leaves), tree, tuple(is_traced), static)
    try:
        hash(key)
    except TypeError:
        bad = next(v for _, v in static if not _hashable(v))
        raise TypeError(
            "jacobian with an order: arguments that are not differentiated are arrays, numbers, or static "
            "and "
            f"hashable; got {bad!r} of type {type(bad).__name__}. Pass it by closure or functools.partial."
        ) from None

    def rebuild(inputs: list[Any], others: list[Any]) -> Selected:
        given = iter(others)
        fixed = iter(static)
        filled = [next(given) if t else next(fixed)[1] for t in is_traced]
        rest, kwargs = pytree.unflatten(tree, filled)
        remaining = iter(rest)
        count = len(selected.args)
        args = tuple(None if i in chosen else next(remaining) for i in range(count))
        return selected.replaced(args, kwargs, inputs)

    return others, static, key, rebuild


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_weak_integer(value: Any) -> bool:
    return isinstance(value, Array) and value.aval.weak_type and kind(value.aval.dtype) in "iu"


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _blocks(graph: Graph, outputs: Sequence[ShapedArray], inputs: Sequence[ShapedArray]) -> list[list[Any]]:
    """The Jacobian's blocks from the edges that are left: a row for each output, a block for each input."""
    ends = iter(graph.outputs)
    rows = []
    for out in outputs:
        edges = [graph.pred[u] if u >= 0 else {} for _, u in zip(range(out.size), ends, strict=False)]
        row = []
        offset = 0
        for aval in inputs:
            block = [e.get(offset + i) for e in edges for i in range(aval.size)]
            row.append(_block(block, (*out.shape, *aval.shape), out.dtype, aval.dtype))
            offset += aval.size
        rows.append(row)
    return rows


def _block(entries: Sequence[Coefficient | None], shape: tuple[int, ...], dtype: Any, to: Any) -> Any:
    """An array of the entries, computed in `dtype`, as `to`."""
    if all(c is None for c in entries):
        return full(shape, 0, to)
    if len(entries) == 1 and entries[0] is not None:
        return convert_element_type(reshape(entries[0].value(dtype), shape), to)
    parts: list[Any] = []
    zeros = 0
    for c in (*entries, Coefficient(1.0)):
        if c is None:
            zeros += 1
            continue
        if zeros:
            parts.append(full((zeros,), 0, dtype))
            zeros = 0
        parts.append(reshape(c.value(dtype), (1,)))
    parts.pop()
    return convert_element_type(reshape(concatenate(parts, 0), shape), to)
