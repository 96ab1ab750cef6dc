"""Nodes are told apart by their positions, which are found once and remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback._src.engines.llvm import blas
from pullback._src.engines.llvm.deferred import Constant, Iota, Map, Part, Remap, Results
from pullback._src.engines.llvm.index import ZERO, Index
from pullback._src.engines.llvm.ir import Emitter, Value
from pullback._src.engines.llvm.module import Module
from pullback._src.engines.llvm.nodes import Accesses, Buffer, Node, Position, Registers, View, variables

F32 = np.dtype(np.float32)


def memory(*shape: int) -> View:
    return View(Buffer(Value("%v1", "ptr", 1, 0)), shape, F32)


def added(*operands: Any, shape: tuple[int, ...]) -> Map:
    return Map(lambda e, types, x, y: e.fadd(x, y), operands, shape, F32, {}, 1.0)


def position(*sizes: int) -> Position:
    """Variables as `variables` gives them, but other objects."""
    return tuple([Index.along(Value(f"?{d}", "i64", 1, 0), 0, n - 1) for d, n in enumerate(sizes)])


def test_equal_positions_are_visited_once_and_others_for_themselves() -> None:
    view = memory(3, 5)
    node = added(view, view, shape=(3, 5))
    found = Accesses()
    for at in (variables((3, 5)), position(3, 5), variables((3, 5))):
        node.visit(at, found)
    assert (found.cost, len(found.views)) == (1.0, 2)
    node.visit((Index.of(2), Index.of(4)), found)
    node.visit(position(3, 5), found)
    assert (found.cost, len(found.views)) == (2.0, 4)
    assert found.views[-1][1].const == 14


def test_a_view_gives_the_index_of_each_position_in_any_order() -> None:
    view = memory(3, 1, 5)
    first, second = (Index.of(1), ZERO, Index.of(3)), (Index.of(2), ZERO, ZERO)
    for at, flat in ((first, 8), (second, 10), (first, 8), (first, 8), (second, 10)):
        assert view.flat(at).const == flat
    assert {v.name: c for v, c in view.flat(variables((3, 1, 5))).terms} == {"?0": 5, "?2": 1}


def test_scalars_beside_arrays_are_read_without_a_position() -> None:
    view, scalar, one = memory(4), memory(), Constant(1.0, F32)
    at = variables((4,))
    assert [there for _, there in added(view, scalar, shape=(4,)).reads(at)] == [at, ()]
    assert [there for _, there in added(view, one, shape=(4,)).reads(at)] == [at, ()]
    row = memory(1, 4)
    moved = added(row, scalar, shape=(3, 4)).reads(variables((3, 4)))[0][1]
    assert moved[0] is ZERO and moved[1] is variables((3, 4))[1]


def test_a_node_knows_how_many_operations_lie_behind_it() -> None:
    view = memory(4)
    one = added(view, view, shape=(4,))
    two = added(Remap(one, (4,), lambda at: at), view, shape=(4,))
    assert (view.depth, one.depth, two.depth) == (0, 1, 2)
    assert (view.chain, one.chain, two.chain) == (0.0, 1.0, 2.0)


def test_elements_are_computed_once_for_equal_positions() -> None:
    e = Emitter(Module())
    node = added(memory(4), Constant(1.0, F32), shape=(4,))
    at = [(Index.of(2),), (Index.of(2),), (Index.of(3),)]
    same, again, other = [node.element(e, p) for p in at]
    assert same is again and other is not same


@pytest.mark.parametrize(("value", "bits"), [(0.0, "0x0000000000000000"), (-0.0, "0x8000000000000000")])
def test_constants_of_routines_keep_the_sign_of_zero(value: float, bits: str) -> None:
    e = Emitter(Module())
    place = blas.number(e, value, F32)
    assert bits in e.module.globals[place.name[1:]].split(",")[0]


def test_each_kind_of_node_says_what_it_is_or_that_it_is_opaque() -> None:
    """Or else nests that differ would be taken for equal (`alike`)."""
    described = {Constant, Iota, Map, Part, Registers, Remap, Results, View}

    def kinds(kind: type[Node]) -> list[type[Node]]:
        return [k for sub in kind.__subclasses__() for k in (sub, *kinds(sub))]

    names = {kind.__name__: kind.visit.__code__.co_names for kind in kinds(Node) if "visit" in vars(kind)}
    for kind in described:
        assert "trace" in names.pop(kind.__name__)
    assert len(names) >= 6
    assert all("opaque" in of_visit for of_visit in names.values())
