"""The rule tables.

Primitives' definitions fill these tables; transformations and engines read them. Because the
tables are declared below both, operations never import a transformation and no circle arises.

Conventions (`values` are arrays or tracers, `params` the static keyword parameters):

    abstract[p](*avals, **params)            -> aval, or a list of them if p.multiple_results
    jvp[p](primals, tangents, **params)      -> (primal_out, tangent_out); tangents may be `Zero`
    linearize[p](trace, primals, tangents, **params) -> (primals_out, tangents_out)
                                                only where recording the jvp rule is not enough
    transpose[p](cts, *args, **params)       -> a list: a cotangent (or Zero, or None) for each argument;
                                                linear arguments arrive as `Linear(aval)` placeholders;
                                                `cts` is one cotangent, or a list if p.multiple_results
    batch[p](axis, values, dims, **params)   -> (value(s)_out, dim(s)_out); a dim is an int or None;
                                                `axis` has `.size` and `.name`
    staging[p](trace, values, params)        -> tracers; only for primitives that carry Python callables
    evaluate[p](*values, **params)           -> values; evaluation on concrete `Array`s where the engine
                                                has no implementation of its own
    decompose[p](*values, **params)          -> values, by binding other primitives
    coefficient[p](k, out, args, **params)   -> coefficient k (1, 2, ...) of the result's power series, or
                                                `Zero` (a list if p.multiple_results), from `out[j]`, j < k,
                                                and `args[i][j]`, j <= k, which may be `Zero` for j > 0
    jet[p](order, values, terms, **params)   -> (values_out, terms_out); terms are lists of the coefficients
                                                1 to `order`, or None for constants. With neither rule the
                                                jvp rule gives the series.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .aval import ShapedArray, Typed

if TYPE_CHECKING:
    from .primitive import Primitive

Rule = Callable[..., Any]

abstract: dict[Primitive, Rule] = {}
jvp: dict[Primitive, Rule] = {}
linearize: dict[Primitive, Rule] = {}
transpose: dict[Primitive, Rule] = {}
batch: dict[Primitive, Rule] = {}
staging: dict[Primitive, Rule] = {}
evaluate: dict[Primitive, Rule] = {}
decompose: dict[Primitive, Rule] = {}
coefficient: dict[Primitive, Rule] = {}
jet: dict[Primitive, Rule] = {}
# collective[p](axis, values, dims, **params): the batch rule of a collective over `axis.name` (one of the
# names in params["axes"]).
collective: dict[Primitive, Rule] = {}

# A primitive without derivative says why here; the completeness test reads it.
not_differentiable: dict[Primitive, str] = {}
# A primitive that is never applied to a linear argument says why it has no transpose.
not_transposable: dict[Primitive, str] = {}


class Linear(Typed):
    """Stands for an argument of unknown value in which an operation is linear (see `transpose`)."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Linear({self.aval.str_short()})"
