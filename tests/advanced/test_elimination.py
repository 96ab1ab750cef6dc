"""Jacobians by vertex elimination: the graph, its orders, and the Jacobians themselves, beside JAX's."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback import lax
from pullback import numpy as pnp
from pullback._src.advanced.elimination import orders
from pullback._src.advanced.elimination.search import search
from pullback._src.advanced.elimination.structure import Cost, Structure
from pullback._src.base.config import enable_x64
from pullback.errors import DTypeError, NotDifferentiableError, ShapeError

from ..thorough import thorough

DATA = Path(__file__).parent / "data"
TASKS = json.loads((DATA / "elimination_tasks.json").read_text())
# What the search finds: for each task an order with all multiplications counted, and one without those by 1
# and -1. `test_search_reaches_the_best_known_of_all_tasks` finds them again.
ORDERS = json.loads((DATA / "elimination_orders.json").read_text())
NAMES = list(TASKS)

# Multiplications of forward, reverse and markowitz: all (published), and without those by 1 and -1.
PUBLISHED = {
    "RoeFlux_1d": ((620, 362), (364, 234), (407, 280)),
    "RobotArm_6DOF": ((397, 227), (301, 221), (288, 179)),
    "HumanHeartDipole": ((240, 48), (172, 60), (194, 48)),
    "PropaneCombustion": ((151, 26), (90, 26), (111, 24)),
}
WANTED = {
    "RoeFlux_1d": (295, 184),
    "RobotArm_6DOF": (221, 154),
    "HumanHeartDipole": (148, 48),
    "PropaneCombustion": (88, 24),
}


@pytest.fixture(autouse=True)
def _x64() -> Iterator[None]:
    with enable_x64(True), jax.enable_x64(True):
        yield


def function(task: dict[str, Any], np_: Any = pnp) -> Callable[[Any], Any]:
    """The task's function of one vector."""

    def run(x: Any) -> Any:
        values = [x[i] for i in range(task["inputs"])]
        for op in task["ops"]:
            a = [arg["const"] if isinstance(arg, dict) else values[arg] for arg in op["args"]]
            values.append(_apply(op, a, np_))
        return np_.stack([values[i] for i in task["outputs"]])

    return run


def _apply(op: dict[str, Any], a: list[Any], np_: Any) -> Any:
    match op["op"]:
        case "add":
            return a[0] + a[1]
        case "sub":
            return a[0] - a[1]
        case "mul":
            return a[0] * a[1]
        case "div":
            return a[0] / a[1]
        case "neg":
            return -a[0]
        case "integer_pow":
            return a[0] ** op["exponent"]
        case "atan2":
            return np_.arctan2(a[0], a[1])
        case name:
            return getattr(np_, name)(a[0])


def structure_of(fun: Callable[..., Any], *args: Any) -> Structure:
    """The structure of the graph of a function, from its program."""
    from pullback._src.advanced.elimination.graph import build
    from pullback._src.core.staging import stage

    avals = [pnp.asarray(a).aval for a in args]
    program = stage(lambda *xs: pb.tree.leaves(fun(*xs)), avals)
    found: list[Structure] = []

    def run(*xs: Any) -> list[Any]:
        graph, values = build(program, xs, len(program.outvars))
        found.append(graph.structure())
        return values

    stage(run, avals)
    return found[0]


@functools.cache
def reference(name: str) -> Any:
    """JAX's Jacobian of a task."""
    task = TASKS[name]
    return np.asarray(jax.jit(jax.jacfwd(function(task, jnp)))(jnp.asarray(np.array(task["point"]))))


@pytest.mark.parametrize("name", NAMES)
def test_published_counts(name: str) -> None:
    task = TASKS[name]
    structure = structure_of(function(task), np.array(task["point"]))
    found = [structure.cost(o) for o in (structure.forward(), structure.reverse(), structure.markowitz())]
    assert found == [Cost(*c) for c in PUBLISHED[name]]
    # Nodes have the numbers of the listing.
    assert structure.size == task["inputs"] + len(task["ops"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["reverse", "markowitz"])
def test_jacobians_of_the_tasks(name: str, order: str) -> None:
    task = TASKS[name]
    point = np.array(task["point"])
    expected = reference(name)
    found = pb.jacobian(function(task), order=order)(point)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(function(task)(pnp.asarray(point))), task["value"], rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counted", ["all", "proper"])
def test_orders_that_were_found(name: str, counted: str) -> None:
    task = TASKS[name]
    point = np.array(task["point"])
    order = ORDERS[name][counted]
    structure = structure_of(function(task), point)
    assert getattr(structure.cost(structure.explicit(order)), counted) <= WANTED[name][counted == "proper"]
    expected = reference(name)
    jacobian = pb.jacobian(function(task), order=order)
    found = np.asarray(jacobian(point))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    # The program makes the multiplications that are counted, but for what it knows when it is traced.
    made = re.search(r"accumulates with (\d+) multiplications", jacobian.explain(point))
    assert made is not None
    assert int(made[1]) <= structure.cost(order).proper


@thorough
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counted", ["all", "proper"])
def test_search_reaches_the_best_known_of_all_tasks(name: str, counted: str) -> None:
    task = TASKS[name]
    structure = structure_of(function(task), np.array(task["point"]))
    found = search(structure, counted == "all", budget=600.0)
    assert found.complete
    assert found.cost <= WANTED[name][counted == "proper"]
    assert list(found.order) == ORDERS[name][counted]


@pytest.mark.parametrize("name", NAMES[2:])
@pytest.mark.parametrize("count_units", [True, False])
def test_search_reaches_the_best_known(name: str, count_units: bool) -> None:
    task = TASKS[name]
    structure = structure_of(function(task), np.array(task["point"]))
    found = search(structure, count_units, budget=300.0, rounds=(100, 300))
    assert found.cost <= WANTED[name][not count_units]
    cost = structure.cost(structure.explicit(found.order))
    assert found.cost == (cost.all if count_units else cost.proper)


@pytest.mark.parametrize("name", NAMES[:2])
def test_search_beats_the_other_orders_soon(name: str) -> None:
    # The best known orders of these two take some seconds: see the test of all tasks.
    task = TASKS[name]
    structure = structure_of(function(task), np.array(task["point"]))
    found = search(structure, False, budget=300.0, rounds=(60,))
    assert found.cost < min(cost[1] for cost in PUBLISHED[name])
    assert structure.cost(structure.explicit(found.order)).proper == found.cost


def test_search_is_the_same_each_time() -> None:
    structure = structure_of(_listing([("mul", i, i + 1) for i in range(9)], [10, 5], pnp), np.ones(2))
    assert search(structure, True, 60.0, seed=3)[:3] == search(structure, True, 60.0, seed=3)[:3]


# Random graphs -----------------------------------------------------------------------------------------

OPERATIONS = ("add", "sub", "mul", "scale", "sin", "neg", "copy", "div")


@st.composite
def listings(draw: st.DrawFn) -> tuple[int, list[tuple[str, int, int]], list[int], int]:
    inputs = draw(st.integers(1, 4))
    ops = []
    for k in range(draw(st.integers(1, 14))):
        number = st.integers(0, inputs + k - 1)
        ops.append((draw(st.sampled_from(OPERATIONS)), draw(number), draw(number)))
    last = inputs + len(ops) - 1
    outputs = draw(st.lists(st.integers(0, last), min_size=1, max_size=4))
    return inputs, ops, outputs, draw(st.integers(0, 2**32))


def _listing(ops: list[tuple[str, int, int]], outputs: list[int], np_: Any) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        v = [x[i] for i in range(x.shape[0])]
        for op, a, b in ops:
            v.append(
                {
                    "add": lambda x, y: x + y,
                    "sub": lambda x, y: x - y,
                    "mul": lambda x, y: x * y,
                    "scale": lambda x, y: 0.5 * x,
                    "sin": lambda x, y: np_.sin(x),
                    "neg": lambda x, y: -x,
                    "copy": lambda x, y: x + 1.0,
                    "div": lambda x, y: x / (2.0 + np_.cos(y)),
                }[op](v[a], v[b])
            )
        return np_.stack([v[i] for i in outputs])

    return run


@given(listings())
@settings(max_examples=15)
def test_random_graphs(listing: Any) -> None:
    inputs, ops, outputs, seed = listing
    random = np.random.default_rng(seed)
    x = random.uniform(0.5, 1.5, inputs)
    fun = _listing(ops, outputs, pnp)
    structure = structure_of(fun, x)
    expected = np.asarray(pb.jacfwd(fun)(x))
    order = [int(v) for v in random.permutation(structure.vertices)] if structure.vertices else []
    for chosen in (order, "forward", "reverse", "markowitz"):
        with pb.disable_jit():
            found = np.asarray(pb.jacobian(fun, order=chosen)(x))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@given(listings())
@settings(max_examples=60)
def test_costs_are_those_of_sets_of_edges(listing: Any) -> None:
    inputs, ops, outputs, seed = listing
    x = np.linspace(0.5, 1.5, inputs)
    structure = structure_of(_listing(ops, outputs, pnp), x)
    unit = {
        (a, b): not structure.succ[a] >> (b + structure.size) & 1
        for a in range(structure.size)
        for b in range(structure.size)
        if structure.succ[a] >> b & 1
    }
    order = [int(v) for v in np.random.default_rng(seed).permutation(structure.vertices)]
    every = proper = 0
    for v in order:
        before = [a for a, b in unit if b == v]
        after = [b for a, b in unit if a == v]
        for a in before:
            for b in after:
                every += 1
                proper += not (unit[a, v] or unit[v, b])
                unit[a, b] = unit[a, v] and unit[v, b] if (a, b) not in unit else False
        unit = {e: u for e, u in unit.items() if v not in e}
    assert structure.cost(order) == Cost(every, proper)


# Arrays, containers, and other transformations ---------------------------------------------------------


def _norms(np_: Any) -> dict[str, Callable[..., Any]]:
    return {
        "elementwise": lambda x: np_.sin(x) * np_.exp(-x) + x**2,
        "broadcast": lambda x: x[:, None] * x[None, :] / (1 + x),
        "reductions": lambda x: np_.stack([x.sum(), np_.prod(x), x.max(), x.min(), x.mean(), x.var()]),
        "matrix product": lambda x: np_.outer(x, x) @ np_.sin(x),
        "known matrix": lambda x: np_.arange(6.0).reshape(2, 3) @ np_.tanh(x),
        "two matrices": lambda x: np_.outer(x, np_.sin(x)) @ np_.outer(np_.cos(x), x),
        "moved": lambda x: np_.concatenate([x[::-1], np_.roll(x, 1) * x, x.reshape(3, 1).T[0]]),
        "gathered": lambda x: x[np.array([2, 0, 2])] * x[1],
        "cumulative": lambda x: np_.cumsum(x) * np_.cumprod(x),
        "selected": lambda x: np_.where(x > 0.6, x * x, np_.sin(x)),
        "sorted": lambda x: np_.sort(-x) * x,
        "norm": lambda x: x / np_.sqrt((x * x).sum()),
        "updated": lambda x: x.at[1].set(x[0] * x[2]),
        "constant": lambda x: np_.ones(2) * 3.0,
        "identity": lambda x: x,
        "scalar": lambda x: np_.log(np_.exp(x).sum()),
    }


@pytest.mark.parametrize("name", _norms(np))
@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_operations_on_arrays(name: str, engine: str) -> None:
    x = np.array([0.7, 0.3, 1.1])
    expected = np.asarray(jax.jacobian(_norms(jnp)[name])(jnp.asarray(x)))
    before = pb.config.engine
    pb.config.update("engine", engine)
    try:
        found = np.asarray(pb.jacobian(_norms(pnp)[name], order="markowitz")(x))
    finally:
        pb.config.update("engine", before)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_linear_algebra_and_custom_rules() -> None:
    a = np.array([[3.0, 1.0], [0.5, 2.0]])

    def fun(x: Any, np_: Any, softplus: Any) -> Any:
        m = np_.asarray(a) + np_.outer(x, x)
        return np_.linalg.solve(m, softplus(x)) * np_.linalg.det(m)

    x = np.array([0.4, -0.2])
    expected = jax.jacobian(lambda x: fun(x, jnp, jax.nn.softplus))(jnp.asarray(x))
    found = pb.jacobian(lambda x: fun(x, pnp, pb.nn.softplus), order="reverse")(x)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-13)


def test_containers_argnums_auxiliary_data_and_static_arguments() -> None:
    def fun(p: Any, scale: Any, power: int, *, shift: Any) -> Any:
        assert isinstance(power, int)
        return {"a": p["u"] ** power * scale, "b": pnp.sum(p["u"]) + p["v"] * shift}, p["v"] + 1

    p = {"u": pnp.array([1.0, 2.0]), "v": pnp.array(3.0)}
    args = (p, 0.5, 3)
    found, aux = pb.jacobian(fun, argnums=(0, 1), has_aux=True, order="markowitz")(
        *args, shift=pnp.array(2.0)
    )
    expected, expected_aux = pb.jacrev(fun, argnums=(0, 1), has_aux=True)(*args, shift=pnp.array(2.0))
    assert pb.tree.structure(found) == pb.tree.structure(expected)
    for x, y in zip(pb.tree.leaves(found), pb.tree.leaves(expected), strict=True):
        assert (x.aval.shape, x.aval.dtype) == (y.aval.shape, y.aval.dtype)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-14)
    assert float(aux) == float(expected_aux) == 4.0


def test_types() -> None:
    x32 = pnp.array([1.0, 2.0], "float32")
    found = pb.jacobian(lambda x: pnp.sin(x).astype("float64") * x.sum(), order="forward")(x32)
    expected = pb.jacrev(lambda x: pnp.sin(x).astype("float64") * x.sum())(x32)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)
    z = pnp.array([1 + 2j, 0.5j])
    holomorphic = pb.jacobian(lambda z: z * z.sum() - 2j * z, holomorphic=True, order="reverse")(z)
    expected = pb.jacfwd(lambda z: z * z.sum() - 2j * z, holomorphic=True)(z)
    np.testing.assert_allclose(np.asarray(holomorphic), np.asarray(expected), rtol=1e-14)


def _small(x: Any) -> Any:
    return pnp.stack([x[0] * pnp.sin(x[1] * x[0]), x[1] / x[0], x[0] * x[1] ** 3])


def test_other_transformations() -> None:
    x = pnp.array([0.7, 1.3])
    jacobian = pb.jacobian(_small, order="reverse")
    plain = pb.jacfwd(_small)
    batch = pnp.array([[0.7, 1.3], [1.0, 2.0], [0.2, 0.1]])
    direction = pnp.array([0.3, -0.4])
    pairs = [
        (pb.jit(jacobian)(x), plain(x)),
        (pb.vmap(jacobian)(batch), pb.vmap(plain)(batch)),
        (pb.jacfwd(jacobian)(x), pb.jacfwd(plain)(x)),
        (pb.jacrev(jacobian)(x), pb.jacfwd(plain)(x)),
        (pb.jacobian(jacobian, order="markowitz")(x), pb.jacfwd(plain)(x)),
        (pb.jacfwd(pb.jacrev(jacobian))(x), pb.jacfwd(pb.jacfwd(plain))(x)),
        (pb.jacrev(pb.jacrev(jacobian))(x), pb.jacfwd(pb.jacfwd(plain))(x)),
        (pb.jvp(jacobian, (x,), (direction,))[1], pb.jvp(plain, (x,), (direction,))[1]),
        (
            pb.vmap(pb.grad(lambda x: jacobian(x).sum()))(batch),
            pb.vmap(pb.grad(lambda x: plain(x).sum()))(batch),
        ),
        (lax.fori_loop(0, 3, lambda i, x: x + 0.1 * jacobian(x)[1], x),) * 2,
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-12, atol=1e-12)
    pb.test_util.check_grads(jacobian, (x,), order=2, modes=("fwd", "rev"))


def test_closed_over_tracers() -> None:
    def loss(s: Any, x: Any) -> Any:
        return pb.jacobian(lambda x: s * pnp.sin(x) * x.sum(), order="forward")(x).sum()

    x = pnp.array([0.3, 0.4])
    s = pnp.array(2.0)
    expected = pb.jacfwd(lambda x: pnp.sin(x) * x.sum())(x).sum()
    np.testing.assert_allclose(float(pb.grad(loss)(s, x)), float(expected), rtol=1e-14)


def test_without_an_order_it_is_jacrev() -> None:
    x = pnp.array([0.7, 1.3])
    assert np.array_equal(np.asarray(pb.jacobian(_small)(x)), np.asarray(pb.jacrev(_small)(x)))


# Reports, kept orders, and errors ----------------------------------------------------------------------


def test_explain() -> None:
    task = TASKS["PropaneCombustion"]
    text = pb.jacobian(function(task), order="markowitz").explain(np.array(task["point"]))
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][1:] == [
        "11",
        "inputs,",
        "51",
        "vertices,",
        "11",
        "outputs,",
        "104",
        "edges",
        "(58",
        "of",
        "them",
        "1",
        "or",
        "-1)",
    ]
    assert ["forward", "151", "26"] in lines
    assert ["reverse", "90", "26"] in lines
    assert ["markowitz", "111", "24"] in lines
    assert "with 24 multiplications" in text


def test_orders_are_kept(tmp_path: Path) -> None:
    x = np.array([0.7, 1.3])
    before = pb.config.compilation_cache_dir
    pb.config.update("compilation_cache_dir", str(tmp_path))
    try:
        orders.forget()
        first = pb.jacobian(_small, order="search").explain(x)
        assert "moves in" in first
        assert "found before" in pb.jacobian(_small, order="search").explain(x)
        orders.forget()
        assert "found before" in pb.jacobian(_small, order="search").explain(x)  # on disk
        (file,) = (tmp_path / "orders").iterdir()
        file.write_text('{"budget": 99, "order": [1, 2]}')
        orders.forget()
        assert "moves in" in pb.jacobian(_small, order="search").explain(x)  # damaged: found again
    finally:
        orders.forget()
        pb.config.update("compilation_cache_dir", before)


def test_calls_with_traced_arguments_only_are_calls_of_a_native_function() -> None:
    traces = []

    def fun(x: Any, scale: Any) -> Any:
        traces.append(scale)
        return pnp.stack([x[0] * x[1] * scale, x[1]])

    jacobian = pb.jacobian(fun, order="reverse")
    x = pnp.array([2.0, 3.0])
    for _ in range(3):
        assert np.asarray(jacobian(x, 0.5)).tolist() == [[1.5, 1.0], [0.0, 1.0]]
    assert len(traces) == 1
    # What is static stays static, and what is refused is refused, also when a native function exists.
    assert np.asarray(jacobian(x, 2)).tolist() == [[6.0, 4.0], [0.0, 1.0]]
    assert traces[1] == 2 and isinstance(traces[1], int)
    assert np.asarray(jacobian(x, True)).tolist() == [[3.0, 2.0], [0.0, 1.0]]
    assert traces[2] is True
    weak = pnp.asarray(2)
    for _ in range(3):
        jacobian(x, weak)
    jacobian(x, 3)
    assert traces[-1] == 3 and isinstance(traces[-1], int)
    square = pb.jacobian(lambda x: x * x, order="forward")
    for _ in range(3):
        assert float(square(3.0)) == 6.0
    with pytest.raises(DTypeError, match="real- or complex-valued"):
        square(3)
    with pb.disable_jit():
        assert float(square(3.0)) == 6.0
    square.clear_cache()
    assert float(square(3.0)) == 6.0


def test_keywords_containers_and_methods() -> None:
    class Model:
        scale = 2.0

        def fun(self, x: Any) -> Any:
            return self.scale * x * x

    assert float(pb.jacobian(Model().fun, order="forward")(3.0)) == 12.0
    jacobian = pb.jacobian(lambda p, *, s: (p["a"] * s, p["b"] ** 2), order="forward")
    for s in (2.0, 3.0, pnp.array(4.0)):
        found = jacobian({"a": 1.0, "b": 5.0}, s=s)
        assert [float(v) for v in pb.tree.leaves(found)] == [float(s), 0.0, 0.0, 10.0]


def _loop(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, x: x * x, x)


X = np.array([0.7, 1.3])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: pb.jacobian(_small, order="backward"),
            ValueError,
            "unknown order 'backward'; expected one of",
        ),
        (lambda: pb.jacobian(_small, order=3), TypeError, "order must be one of"),
        (lambda: pb.jacobian(_small, order="search", budget="soon"), ValueError, "budget must be a positive"),
        (lambda: pb.jacobian(_small, order="search", budget=-1), ValueError, "budget must be a positive"),
        (lambda: pb.jacobian(_small, budget=2.0), ValueError, 'pass order="search"'),
        (lambda: pb.jacobian(_small, order="forward", allow_int=True), ValueError, "allow_int"),
        (lambda: pb.jacobian(_small, order="forward", batch_size=2), ValueError, "batch_size"),
        (lambda: pb.jacobian(3, order="forward"), TypeError, "expects a function"),
        (lambda: pb.jacobian(_small, order=[2, 3])(X), ValueError, "must name each of the .* missing: "),
        (lambda: pb.jacobian(_small, order=[0])(X), ValueError, "names 0, which is no vertex"),
        (lambda: pb.jacobian(_small, order=[2, 2])(X), ValueError, "names vertex 2 twice"),
        (
            lambda: pb.jacobian(_loop, order="forward")(X),
            NotDifferentiableError,
            "Write a short loop as a Python",
        ),
        (lambda: pb.jacobian(pnp.sin, order="forward")(np.ones(30_000)), ShapeError, "use jacfwd, jacrev"),
        (
            lambda: pb.jacobian(lambda x: pnp.cumsum(pnp.sin(x)), order="forward")(np.ones(3_000)),
            ShapeError,
            "too large",
        ),
        (
            lambda: pb.jacobian(_small, order="forward")(np.array([1, 2])),
            DTypeError,
            "real- or complex-valued",
        ),
        (lambda: pb.jacobian(_small, order="forward")(X + 0j), DTypeError, "holomorphic=True"),
        (
            lambda: pb.jacobian(lambda x: x > 0, order="forward")(X),
            DTypeError,
            "expects outputs of a real float",
        ),
        (
            lambda: pb.jacobian(pnp.conj, holomorphic=True, order="forward")(X + 0j),
            DTypeError,
            "not holomorphic",
        ),
        (
            lambda: pb.jacobian(lambda x: pnp.abs(x * 1j), order="forward")(X),
            NotDifferentiableError,
            "complex values of real ones",
        ),
        (lambda: pb.jacobian(lambda x, s: x, order="forward")(X, {1}), TypeError, "static and hashable"),
    ],
)
def test_errors(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_registered_containers() -> None:
    class Angle:
        def __init__(self, value: Any) -> None:
            self.value = value

    pb.tree_util.register_pytree_node(Angle, lambda a: ((a.value,), None), lambda _, c: Angle(*c))
    assert float(pb.jacobian(lambda a: a.value**2, order="forward")(Angle(pnp.array(3.0))).value) == 6.0
