"""Pytrees: against `jax.tree_util` where the two must agree, by their own laws elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import pickle
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple

import jax
import jax.tree_util as oracle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax._src import tree_util as oracle_internal

import pullback.tree
import pullback.tree_util as tu
from pullback._src.base import pytree

pytestmark = pytest.mark.filterwarnings("error")


class Point(NamedTuple):
    x: Any
    y: Any


SubPoint = type("SubPoint", (Point,), {})
Empty = namedtuple("Empty", "")


class Plain:
    """Registered without keys."""

    def __init__(self, *children: Any, tag: Any = None) -> None:
        self.children, self.tag = children, tag

    def tree_flatten(self) -> tuple[Any, Any]:
        return self.children, self.tag

    @classmethod
    def tree_unflatten(cls, tag: Any, children: Any) -> Plain:
        return cls(*children, tag=tag)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and (self.children, self.tag) == (other.children, other.tag)

    __hash__ = None  # type: ignore[assignment]


class Keyed:
    """Registered with keys."""

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyed) and (self.left, self.right) == (other.left, other.right)

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any = None
    activation: str = pullback.tree.static(default="tanh")
    calls: int = dataclasses.field(default=0, init=False)


class Name(str):
    pass


for library in (tu, oracle):
    library.register_pytree_node_class(Plain)
    library.register_pytree_with_keys(
        Keyed,
        lambda k, lib=library: (((lib.GetAttrKey("left"), k.left), (lib.DictKey("right"), k.right)), None),
        lambda _, children: Keyed(*children),
    )
    library.register_static(Name)
tu.register_dataclass(Layer, ["weight", "bias"], ["activation"], ["calls"])
# JAX is told the same fields in the way that the decorator form derives them here.
oracle.register_dataclass(Layer, ["weight", "bias"], ["activation"])

leaves = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=2)
keys = st.text("abc", min_size=1, max_size=2)


def _nodes(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(children, max_size=3)
    dicts = st.dictionaries(keys, children, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        dicts,
        st.dictionaries(st.integers(0, 5), children, max_size=3),
        dicts.map(OrderedDict),
        dicts.map(lambda d: defaultdict(int, d)),
        st.tuples(children, children).map(lambda c: Point(*c)),
        st.tuples(children, children).map(lambda c: SubPoint(*c)),
        lists.map(lambda c: Plain(*c, tag=len(c))),
        st.tuples(children, children).map(lambda c: Keyed(*c)),
        st.tuples(children, children).map(lambda c: Layer(*c)),
        lists.map(deque),
        st.just(None),
        st.just(Empty()),
        st.just(Name("static")),
    )


trees = st.recursive(leaves, _nodes, max_leaves=12)


def outcome(function: Any, *args: Any, **keywords: Any) -> Any:
    """The result, or the type of the built-in exception, to compare two libraries."""
    try:
        return function(*args, **keywords)
    except (ValueError, TypeError, KeyError) as error:
        return type(error)


def plain_paths(pairs: Any) -> list[Any]:
    """Key paths of either library in one form."""
    return [([(type(k).__name__, str(k), repr(k)) for k in path], leaf) for path, leaf in pairs]


# ---- Against JAX.


@given(trees)
def test_flatten_agrees(tree: Any) -> None:
    ours, treedef = tu.tree_flatten(tree)
    theirs, oracle_def = oracle.tree_flatten(tree)
    assert ours == theirs == tu.tree_leaves(tree)
    assert repr(treedef) == str(treedef) == repr(oracle_def)
    assert (treedef.num_leaves, treedef.num_nodes) == (oracle_def.num_leaves, oracle_def.num_nodes)
    assert treedef.node_data() == oracle_def.node_data()
    assert [repr(c) for c in treedef.children()] == [repr(c) for c in oracle_def.children()]
    assert tu.treedef_is_leaf(treedef) == oracle.treedef_is_leaf(oracle_def)
    assert treedef.unflatten(ours) == tree == tu.tree_unflatten(treedef, ours)


@given(trees)
def test_paths_agree(tree: Any) -> None:
    ours, treedef = tu.tree_flatten_with_path(tree)
    theirs, _ = oracle.tree_flatten_with_path(tree)
    assert plain_paths(ours) == plain_paths(theirs) == plain_paths(tu.tree_leaves_with_path(tree))
    assert treedef == tu.tree_structure(tree)
    for (path, _), (oracle_path, _) in zip(ours, theirs, strict=True):
        assert tu.keystr(path) == oracle.keystr(oracle_path)
        assert tu.keystr(path, simple=True, separator="/") == oracle.keystr(
            oracle_path, simple=True, separator="/"
        )
    mapped = tu.tree_map_with_path(lambda path, x: (tu.keystr(path), x), tree, is_leaf=lambda x: x is None)
    expected = oracle.tree_map_with_path(
        lambda p, x: (oracle.keystr(p), x), tree, is_leaf=lambda x: x is None
    )
    assert mapped == expected


PREDICATES = [
    lambda x: x is None,
    lambda x: isinstance(x, list),
    lambda x: isinstance(x, (Point, Plain, dict)),
]


@given(trees, st.sampled_from(PREDICATES))
def test_is_leaf_agrees(tree: Any, is_leaf: Any) -> None:
    ours, treedef = tu.tree_flatten(tree, is_leaf)
    theirs, oracle_def = oracle.tree_flatten(tree, is_leaf)
    assert ours == theirs and repr(treedef) == repr(oracle_def)
    with_path, path_def = tu.tree_flatten_with_path(tree, is_leaf)
    assert plain_paths(with_path) == plain_paths(oracle.tree_flatten_with_path(tree, is_leaf)[0])
    assert path_def == treedef
    deep = tu.tree_leaves_with_path(tree, lambda path, _: len(path) == 2, is_leaf_takes_path=True)
    oracle_deep = oracle.tree_leaves_with_path(tree, lambda path, _: len(path) == 2, is_leaf_takes_path=True)
    assert plain_paths(deep) == plain_paths(oracle_deep)


@given(trees, trees)
def test_two_trees_agree(first: Any, second: Any) -> None:
    def pair(*values: Any) -> Any:
        return deque(values)

    assert outcome(tu.tree_map, pair, first, second) == outcome(oracle.tree_map, pair, first, second)
    assert outcome(tu.tree_structure(first).flatten_up_to, second) == outcome(
        oracle.tree_structure(first).flatten_up_to, second
    )
    same = tu.tree_structure(first) == tu.tree_structure(second)
    assert same == (oracle.tree_structure(first) == oracle.tree_structure(second))
    assert same == (pytree.explain_structure_difference(first, second) == "")
    assert outcome(tu.tree_broadcast, first, second) == outcome(oracle.tree_broadcast, first, second)
    assert outcome(pytree.broadcast_prefix, first, second) == outcome(
        oracle_internal.broadcast_prefix, first, second
    )
    is_prefix = outcome(tu.tree_broadcast, first, second) is not ValueError
    assert is_prefix == (pytree.prefix_errors(first, second) == [])
    composed = tu.tree_structure(first).compose(tu.tree_structure(second))
    assert repr(composed) == repr(oracle.tree_structure(first).compose(oracle.tree_structure(second)))
    both = tu.treedef_tuple([tu.tree_structure(first), tu.tree_structure(second)])
    assert both == tu.tree_structure((first, second))
    assert tu.treedef_children(both) == [tu.tree_structure(first), tu.tree_structure(second)]


@given(trees, st.data())
def test_prefixes_broadcast(tree: Any, data: st.DataObject) -> None:
    """Cutting a tree anywhere gives a prefix of it, and mapping over it finds the subtrees."""
    cut = data.draw(st.integers(0, 3))
    treedef = tu.tree_structure(tree)
    paths = {path[:cut] for path, _ in tu.tree_leaves_with_path(tree)}
    numbers = iter(range(len(paths) + 100))
    prefix = tu.tree_map_with_path(
        lambda *_: next(numbers), tree, is_leaf=lambda path, _: len(path) == cut, is_leaf_takes_path=True
    )
    ours = pytree.broadcast_prefix(prefix, tree)
    assert ours == oracle_internal.broadcast_prefix(prefix, tree)
    assert len(ours) == treedef.num_leaves
    axes = pytree.flatten_axes("axes", treedef.spec, prefix)
    assert axes == ours == oracle_internal.tree_leaves(tu.tree_broadcast(prefix, tree))
    assert tu.tree_map(lambda _, subtree: subtree, prefix, tree) == tree


@given(st.lists(trees, max_size=6))
def test_reductions_agree(tree: Any) -> None:
    def show(a: Any, b: Any) -> str:
        return f"({a} {b})"

    assert tu.tree_reduce(show, tree, "init") == oracle.tree_reduce(show, tree, "init")
    assert outcome(tu.tree_reduce, show, tree) == outcome(oracle.tree_reduce, show, tree)
    assert outcome(tu.tree_reduce_associative, show, tree) == outcome(
        oracle.tree_reduce_associative, show, tree
    )
    assert tu.tree_reduce_associative(show, tree, identity="e") == oracle.tree_reduce_associative(
        show, tree, identity="e"
    )
    assert tu.tree_all(tree) == oracle.tree_all(tree)
    assert tu.all_leaves(tree) == oracle.all_leaves(tree)


@pytest.mark.parametrize(
    "value",
    [
        deque([1, 2]),
        {1, 2},
        frozenset({1}),
        range(3),
        slice(1, 2),
        "text",
        b"bytes",
        Counter("ab"),
        np.ones(2),
        object(),
        type("L", (list,), {})([1]),
        type("T", (tuple,), {})([1]),
        type("D", (dict,), {})(a=1),
        functools.partial(max, 1),
        np.float32(1),
        True,
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_leaves(value: Any) -> None:
    for tree in (value, (value,), [value], {"a": (value, 1)}):
        assert [id(x) for x in tu.tree_leaves(tree)] == [id(x) for x in oracle.tree_leaves(tree)]
        assert repr(tu.tree_structure(tree)) == repr(oracle.tree_structure(tree))
    assert [path for path, _ in tu.tree_leaves_with_path(value)] == [()]
    with pytest.raises(ValueError, match="got a leaf of type"):
        tu.flatten_one_level(value)


@given(trees)
def test_one_level_agrees(tree: Any) -> None:
    ours, theirs = outcome(tu.flatten_one_level, tree), outcome(oracle.flatten_one_level, tree)
    if theirs is ValueError:
        assert ours is ValueError and outcome(tu.flatten_one_level_with_keys, tree) is ValueError
        return
    assert (list(ours[0]), ours[1]) == (list(theirs[0]), theirs[1])
    keyed, metadata = tu.flatten_one_level_with_keys(tree)
    assert [child for _, child in keyed] == list(ours[0]) and metadata == ours[1]
    if isinstance(tree, Point):  # JAX names every field after the first one here (though not in key paths)
        return
    oracle_keyed, _ = oracle.flatten_one_level_with_keys(tree)
    assert [str(key) for key, _ in keyed] == [str(key) for key, _ in oracle_keyed]


@pytest.mark.parametrize(
    "typ", [int, list, tuple, dict, type(None), Point, OrderedDict, defaultdict, deque, Plain, Layer, str]
)
def test_is_tree_node(typ: type) -> None:
    assert tu.is_tree_node(typ) == oracle.is_tree_node(typ)


def test_transpose() -> None:
    outer, inner = [0, (0, None)], {"a": 0, "b": [0, 0]}
    count = itertools.count()
    tree = tu.tree_map(lambda _: tu.tree_map(lambda _: next(count), inner), outer)
    expected = oracle.tree_transpose(oracle.tree_structure(outer), oracle.tree_structure(inner), tree)
    assert tu.tree_transpose(tu.tree_structure(outer), tu.tree_structure(inner), tree) == expected
    assert tu.tree_transpose(tu.tree_structure(outer), None, tree) == expected
    with pytest.raises(TypeError, match=r"at key path \[0\].* has a list of length 1, but the tree"):
        tu.tree_transpose(tu.tree_structure([0]), tu.tree_structure([0]), [(1,)])
    with pytest.raises(ValueError, match="give inner_treedef"):
        tu.tree_transpose(tu.tree_structure([]), None, [])


# ---- Structures.


@given(trees)
def test_structures_as_values(tree: Any) -> None:
    treedef = tu.tree_structure(tree)
    again = tu.tree_structure(tu.tree_map(lambda x: (x, x), tree))
    assert treedef == tu.tree_structure(tree) and hash(treedef) == hash(tu.tree_structure(tree))
    assert (treedef == again) == (treedef.num_leaves == 0)
    assert {treedef: 1}[tu.tree_structure(tree)] == 1
    assert treedef != "text"


@pytest.mark.parametrize(
    "tree", [1, None, (1, [2, {"a": None}]), OrderedDict(b=1, a=2), Point(1, (2,)), Plain(1, tag="t")]
)
def test_structures_pickle(tree: Any) -> None:
    treedef = tu.tree_structure(tree)
    assert pickle.loads(pickle.dumps(treedef)) == treedef


def test_short_way_gives_the_same_structures() -> None:
    array = np.ones(2)
    for length in range(20):
        leaves_, treedef = pytree.flatten((array,) * length)
        assert isinstance(leaves_, list) and len(leaves_) == length
        assert treedef == pytree.structure_of(("text",) * length)
        assert hash(treedef) == hash(pytree.structure_of(("text",) * length))
    assert pytree.flatten(array)[1] == pytree.structure_of("text")
    with pytest.raises(ValueError, match="is a pytree node type"):
        pytree.mark_leaf_type(Plain)


def test_marked_leaf_type_can_become_a_node() -> None:
    marked = type("Marked", (), {})
    pytree.mark_leaf_type(marked)
    assert len(tu.tree_leaves((marked(),))) == 1
    tu.register_pytree_node(marked, lambda _: ((1, 2), None), lambda *_: marked())
    assert tu.tree_leaves((marked(),)) == [1, 2]


def test_unflatten_errors() -> None:
    treedef = tu.tree_structure((1, 2))
    for wrong in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="leaves"):
            tu.tree_unflatten(treedef, wrong)
    with pytest.raises(TypeError, match="expected a PyTreeDef, but got"):
        tu.tree_unflatten([1, 2], treedef)  # type: ignore[arg-type]


def test_build_tree() -> None:
    treedef = tu.tree_structure({"a": (1, 2), "b": Point(3, None)})
    built = tu.build_tree(treedef, [iter([1, 5]), ((7, 8), ())])
    assert built == {"a": (1, 5), "b": Point((7, 8), None)}
    with pytest.raises(ValueError, match=r"Expected 2 children for PyTreeDef\(\(\*, \*\)\), but got 1"):
        tu.build_tree(treedef, [[1], (2, ())])


def test_dict_order() -> None:
    """Equal structures may keep different key orders; the canonical one is sorted, like JAX's."""
    one, two = {"b": 1, "a": 2}, {"a": 2, "b": 1}
    assert tu.tree_leaves(one) == tu.tree_leaves(two) == [2, 1]
    assert tu.tree_structure(one) == tu.tree_structure(two)
    assert list(tu.tree_map(operator.neg, one)) == ["b", "a"]
    tree = [one, defaultdict(list, one), OrderedDict(one), Plain(one)]
    spec = pytree.structure_of(tree)
    rebuilt = pytree.unflatten(pytree.canonical_structure(spec), pytree.leaves_of(tree))
    assert rebuilt == tree and pytree.canonical_structure(spec) == spec
    assert [list(rebuilt[0]), list(rebuilt[1]), list(rebuilt[2])] == [["a", "b"], ["a", "b"], ["b", "a"]]
    assert list(rebuilt[3].children[0]) == ["a", "b"] and rebuilt[1].default_factory is list


# ---- Registration.


def test_registering_twice() -> None:
    for register in (tu.register_pytree_node_class, tu.register_static):
        with pytest.raises(ValueError, match="already registered"):
            register(Plain)
    with pytest.raises(ValueError, match="already registered"):
        tu.register_dataclass(Layer, ["weight", "bias"], ["activation"], [])
    for builtin in (list, dict, type(None), deque, OrderedDict):
        with pytest.raises(ValueError, match="built-in meaning"):
            tu.register_pytree_node(builtin, lambda x: ((), None), lambda *_: None)
    with pytest.raises(TypeError, match="must be a class"):
        tu.register_pytree_node(3, lambda x: ((), None), lambda *_: None)  # type: ignore[arg-type]


def test_registered_namedtuple_is_opened_as_registered() -> None:
    pair = namedtuple("pair", "x y")
    tu.register_pytree_node(pair, lambda p: ((p.y,), p.x), lambda x, c: pair(x, *c))
    assert tu.tree_leaves(pair(1, 2)) == [2]
    assert tu.tree_map(operator.neg, pair(1, 2)) == (1, -2)


def test_keys_class() -> None:
    @tu.register_pytree_with_keys_class
    class Box:
        def __init__(self, value: Any) -> None:
            self.value = value

        def tree_flatten_with_keys(self) -> Any:
            return (("custom", self.value),), None

        @classmethod
        def tree_unflatten(cls, _: Any, children: Any) -> Box:
            return cls(*children)

    assert tu.tree_leaves(Box(3)) == [3]
    assert tu.tree_leaves_with_path([Box(3)]) == [((tu.SequenceKey(0), "custom"), 3)]
    assert tu.keystr(tu.tree_leaves_with_path([Box(3)])[0][0]) == "[0]custom"


def test_dataclass_decorator() -> None:
    for library in (tu, oracle):

        @library.register_dataclass
        @dataclasses.dataclass
        class Model:
            w: Any
            b: Any = 0
            name: str = pullback.tree.static(default="m", metadata={"unit": "kg"})

        leaves_, treedef = library.tree_flatten(Model(1, 2))
        assert leaves_ == [1, 2] and repr(treedef) == "PyTreeDef(CustomNode(Model[('m',)], [*, *]))"
        assert treedef.unflatten([3, 4]) == Model(3, 4)
        assert [library.keystr(p) for p, _ in library.tree_leaves_with_path(Model(1, 2))] == [".w", ".b"]
        assert treedef != library.tree_structure(Model(1, 2, "n"))
        assert {f.name: f.metadata.get("unit") for f in dataclasses.fields(Model)}["name"] == "kg"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((["x"], []), ValueError, r"missing: \['y'\].*drop_fields"),
        ((["x"], ["y", "q"]), ValueError, r"unexpected: \['q'\]"),
        ((["x"],), TypeError, "both data_fields and meta_fields or neither"),
        ((["x", "y"], ["y"]), ValueError, r"\['y'\] are in both"),
        ((["x", "z"], ["y"]), ValueError, r"unexpected: \['z'\]"),
    ],
)
def test_dataclass_errors(arguments: Any, error: type[Exception], match: str) -> None:
    @dataclasses.dataclass
    class Model:
        x: int
        y: int = 0
        z: int = dataclasses.field(default=0, init=False)

    with pytest.raises(error, match=match):
        tu.register_dataclass(Model, *arguments)
    with pytest.raises(error):
        oracle.register_dataclass(Model, *arguments)
    with pytest.raises(TypeError, match="is not a dataclass"):
        tu.register_dataclass(type("NoDataclass", (), {}))


def test_dataclass_drop_fields() -> None:
    @functools.partial(tu.register_dataclass, data_fields=["x"], meta_fields=[], drop_fields=["y"])
    @dataclasses.dataclass
    class Model:
        x: int
        y: int = 7

    assert tu.tree_leaves(Model(1, 2)) == [1]
    assert tu.tree_map(lambda x: x, Model(1, 2)) == Model(1, 7)


def test_partial() -> None:
    ours, theirs = tu.Partial(max, 1, key=None), oracle.Partial(max, 1, key=None)
    assert ours(5) == 5 and isinstance(ours, functools.partial)
    assert repr(tu.tree_structure(ours)) == repr(oracle.tree_structure(theirs))
    mapped = tu.tree_map(operator.neg, tu.Partial(max, 1, 2))
    assert isinstance(mapped, tu.Partial) and mapped.args == (-1, -2) and mapped() == -1
    nested = tu.Partial(functools.partial(max, 1), 2)
    assert tu.tree_leaves(nested) == [2] and nested() == 2
    assert tu.tree_structure(tu.Partial(max, 1)) != tu.tree_structure(tu.Partial(min, 1))
    shared = functools.partial(max, 1)
    assert tu.tree_structure(tu.Partial(shared, 1)) == tu.tree_structure(tu.Partial(shared, 2))
    assert hash(tu.tree_structure(tu.Partial(shared, 1))) == hash(tu.tree_structure(tu.Partial(shared, 2)))


# ---- Key entries.


def test_key_entries() -> None:
    for name, value in [("DictKey", "a"), ("SequenceKey", 1), ("GetAttrKey", "x"), ("FlattenedIndexKey", 3)]:
        ours, theirs = getattr(tu, name)(value), getattr(oracle, name)(value)
        assert (str(ours), repr(ours), type(ours).__match_args__) == (
            str(theirs),
            repr(theirs),
            type(theirs).__match_args__,
        )
        assert ours == getattr(tu, name)(value) and hash(ours) == hash(getattr(tu, name)(value))
        assert pickle.loads(pickle.dumps(ours)) == ours
    assert tu.DictKey(1) != tu.SequenceKey(1)


# ---- Words for differences.


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (1, (1, 2), "A is a leaf of type int, but B is a tuple of length 2"),
        ([1], (1,), "A is a list of length 1, but B is a tuple of length 1"),
        (
            {"w": [1, 2.0]},
            {"w": [1, ()]},
            "at key path ['w'][1], A has a leaf of type float, but B has an empty tuple",
        ),
        (
            {"a": 1, "b": 2},
            {"b": 2, "c": 3},
            (
                "A is a dict with keys 'a', 'b', but B is a dict with keys 'b', 'c' (missing:"
                " 'a'; not expected: 'c')"
            ),
        ),
        (
            OrderedDict(a=1, b=2),
            OrderedDict(b=1, a=2),
            (
                "A is an OrderedDict with keys 'a', 'b', but B is an OrderedDict with keys 'b', 'a'"
                " (the same keys in another order)"
            ),
        ),
        (
            (1, None),
            (1, 2),
            "at key path [1], A has None (a node without leaves), but B has a leaf of type int",
        ),
        (
            [Layer(1, (2,))],
            [Layer(1, [2])],
            "at key path [0].bias, A has a tuple of length 1, but B has a list of length 1",
        ),
        (
            [Keyed(1, 2)],
            [Keyed(1, [])],
            "at key path [0]['right'], A has a leaf of type int, but B has an empty list",
        ),
        (
            Plain(1, tag="s"),
            Plain(1, tag="t"),
            (
                "A is a Plain (node with 1 child) with static data 's', but B is a Plain (node"
                " with 1 child) with static data 't'"
            ),
        ),
        (Point(1, 2), (1, 2), "A is a Point (namedtuple with 2 children), but B is a tuple of length 2"),
        (
            defaultdict(int, a=1),
            defaultdict(list, a=1),
            (
                "A is a defaultdict with key 'a' and factory <class 'int'>, but B is a"
                " defaultdict with key 'a' and factory"
                " <class 'list'>"
            ),
        ),
        (
            [1, 2],
            [(), None],
            (
                "\n  * at key path [0], A has a leaf of type int, but B has an empty tuple"
                "\n  * at key path [1], A has a leaf of type int, but B has None (a node without leaves)"
            ),
        ),
        ([1, [2]], [1, [3]], ""),
    ],
)
def test_explain(first: Any, second: Any, text: str) -> None:
    assert pytree.explain_structure_difference(first, second, "A", "B") == text
    bare = pytree.explain_structure_difference(
        pytree.structure_of(first), pytree.structure_of(second), "A", "B"
    )
    for kind in ("int", "float"):
        text = text.replace(f"a leaf of type {kind}", "a leaf")
    assert bare == text


def test_explain_limits_its_length() -> None:
    text = pytree.explain_structure_difference([1] * 40, [()] * 40)
    assert text.count("\n") == 6 and text.endswith("and 35 more differences")
    text = pytree.explain_structure_difference(dict.fromkeys(range(40)), {})
    assert "and 28 more" in text and "39" not in text


def test_tree_map_error_names_the_place() -> None:
    with pytest.raises(ValueError) as error:
        tu.tree_map(lambda *_: 0, {"a": [1, 2]}, {"a": [1, 2]}, {"a": (1, 2)})
    assert str(error.value) == (
        "Pytree structures do not match: at key path ['a'], the first tree of tree_map"
        " has a list of length 2, but the"
        " third tree has a tuple of length 2."
    )


def test_prefix_errors() -> None:
    assert pytree.prefix_errors((1, {"a": 2}), ([1, 2], {"a": (3, 4)})) == []
    assert pytree.prefix_errors([1, (2, 3)], [1, [1, 2]], prefix_name="P", full_name="F") == [
        "at key path [1], P has a tuple of length 2, but F has a list of length 2"
    ]


def test_flatten_axes() -> None:
    spec = pytree.structure_of((1, {"a": 2, "b": (3, None)}))
    for axes, flat in [
        (0, [0, 0, 0]),
        (None, [None] * 3),
        ((0, None), [0, None, None]),
        ((None, {"a": 1, "b": 2}), [None, 1, 2]),
        ((None, {"a": 1, "b": (2, None)}), [None, 1, 2]),
    ]:
        assert pytree.flatten_axes("axes", spec, axes) == flat
    with pytest.raises(ValueError) as error:
        pytree.flatten_axes("vmap in_axes", spec, (None, {"a": 0}), tree_name="the arguments")
    assert str(error.value) == (
        "vmap in_axes must have the structure of the arguments, or be a tree prefix of"
        " it, with an integer or None at"
        " each leaf, but got (None, {'a': 0}): at key path [1], the arguments has a dict"
        " with keys 'a', 'b', but vmap"
        " in_axes has a dict with key 'a' (missing: 'b')."
    )


# ---- Façades.

REMOVED_OR_INTERNAL = {"default_registry"}


def test_facades() -> None:
    for ours, theirs in ((tu, oracle), (pullback.tree, jax.tree)):
        public = {name for name in dir(theirs) if not name.startswith("_")} - REMOVED_OR_INTERNAL
        assert public <= set(ours.__all__)
        assert all(hasattr(ours, name) for name in ours.__all__)
        assert ours.__all__ == sorted(ours.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in pullback.tree.__all__:
        if name != "static":
            assert getattr(pullback.tree, name) is getattr(tu, f"tree_{name}")
    assert all(hasattr(pytree, name) for name in pytree.__all__)
