"""cond, switch, platform_dependent."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
from pullback._src.base.config import disable_jit
from pullback._src.base.errors import DTypeError, ShapeError, StructureError
from pullback._src.core.array import as_array
from pullback._src.core.evaluate import evaluate
from pullback._src.core.staging import stage
from pullback._src.core.verify import verify
from pullback._src.ops.prng import KEY, random_bits, random_seed
from pullback._src.transforms.batch import Axis, batch, batch_program
from pullback._src.transforms.jvp import jvp_program
from pullback._src.transforms.linearize import linearize, linearize_program
from pullback._src.transforms.transpose import backward_pass, transpose_program

from ..matrix import Sample, matrix_cells, run_cell
from .both import PATHS, check, check_grad, check_path, ours

_X = np.float64(0.7)
_Y = np.array([0.3, 1.1, -0.4])


# One function of (lax, index, x, y) a case, where the index chooses among the branches.


def _plain(lax: Any, i: Any, x: Any, y: Any) -> Any:
    return lax.cond(
        lax.gt(i, np.int32(0)), lambda x, y: lax.mul(lax.sin(x), y), lambda x, y: lax.mul(y, y), x, y
    )


def _different_tangents(lax: Any, i: Any, x: Any, y: Any) -> Any:
    """The branches' results depend on different operands; one result never depends on any."""
    one = lax.full((3,), 1, y.dtype)
    branches = [
        lambda x, y: (lax.mul(one, x), y, one),
        lambda x, y: (one, lax.mul(y, x), one),
        lambda x, y: (lax.exp(y), one, lax.neg(one)),
    ]
    return lax.switch(i, branches, x, y)


def _different_residuals(lax: Any, i: Any, x: Any, y: Any) -> Any:
    branches = [
        lambda x, y: lax.sin(lax.mul(lax.exp(y), x)),
        lambda x, y: lax.mul(lax.cos(x), lax.full((3,), 2, y.dtype)),
        lambda x, y: lax.tanh(lax.sin(lax.exp(lax.mul(y, y)))),
    ]
    return lax.switch(i, branches, x, y)


def _captured(lax: Any, i: Any, x: Any, y: Any) -> Any:
    table = np.array([2.0, 3.0, 5.0]).astype(x.dtype)
    z = lax.mul(x, x)
    return lax.cond(
        lax.eq(i, np.int32(1)), lambda y: lax.mul(lax.mul(y, z), table), lambda y: lax.mul(lax.sin(z), y), y
    )


def _pytrees(lax: Any, i: Any, x: Any, y: Any) -> Any:
    operand = {"x": x, "y": (y, None)}
    return lax.cond(
        lax.eq(i, np.int32(0)),
        lambda o: {"a": [o["y"][0]], "b": (lax.mul(o["x"], 2.0), None)},
        lambda o: {"a": [lax.sin(o["y"][0])], "b": (o["x"], None)},
        operand,
    )


def _nested(lax: Any, i: Any, x: Any, y: Any) -> Any:
    def outer(x: Any, y: Any) -> Any:
        inner = lambda v: lax.mul(lax.sin(v), x)
        return lax.cond(lax.gt(x, lax.full((), 0.5, x.dtype)), inner, lambda v: lax.mul(v, lax.mul(v, x)), y)

    return lax.switch(i, [outer, lambda x, y: lax.mul(y, x), lambda x, y: outer(lax.mul(x, x), y)], x, y)


def _scan_inside(lax: Any, i: Any, x: Any, y: Any) -> Any:
    loop = lambda x, y: lax.scan(lambda c, v: (lax.mul(lax.sin(c), v), lax.mul(c, x)), x, y)
    return lax.switch(i, [loop, lambda x, y: (x, lax.mul(y, x))], x, y)


def _index_of_one_lane(lax: Any, i: Any, x: Any, y: Any) -> Any:
    """A predicate that does not depend on the mapped arguments."""
    two = np.int32(2)
    return lax.switch(
        two, [lambda x, y: y, lambda x, y: lax.sin(y), lambda x, y: lax.mul(lax.cos(x), y)], x, y
    )


FUNCTIONS = [
    _plain,
    _different_tangents,
    _different_residuals,
    _captured,
    _pytrees,
    _nested,
    _scan_inside,
    _index_of_one_lane,
]


def _flat_switch(i: Any, x: Any, y: Any) -> Any:
    return _different_residuals(lax, i, x, y)


def _hinge(same: Any) -> Any:
    """max(x, 0), whose rule takes of each lane the tangent or none: a linear function of the tangents with a
    branch for each lane. `same` is the identity."""

    @pb.custom_jvp
    def hinge(x: Any) -> Any:
        return lax.max(x, lax.full(x.shape, 0, x.dtype))

    @hinge.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        choose = lambda x, t: lax.cond(lax.gt(x, 0.0), same, lambda t: lax.mul(t, 0.0), t)
        return hinge(x), pb.vmap(choose)(x, t)

    return hinge


def _reference(i: Any, x: Any, y: Any) -> Any:
    i = min(max(int(i), 0), 2)
    return [np.sin(np.exp(y) * x), np.cos(x) * np.full(3, 2.0), np.tanh(np.sin(np.exp(y * y)))][i]


SAMPLES = [
    Sample(
        f"switch-{i}-f64",
        _flat_switch,
        (np.int32(i), _X, _Y),
        _reference,
        (1, 2),
        batchable=(0, 1, 2),
        primitives=("cond",),
    )
    for i in (0, 1, 2, 7, -3)
] + [
    Sample(
        "switch-in-jit-f64",  # the index is not known when it is differentiated
        pb.jit(_flat_switch),
        (np.int32(1), _X, _Y),
        _reference,
        (1, 2),
        batchable=(0, 1, 2),
        primitives=("cond",),
    ),
    Sample(
        "cond-of-tangents-f64",
        _hinge(lambda t: lax.reduce_sum(lax.broadcast(lax.mul(t, 0.5), (2,)), (0,))),
        (np.array([0.3, -0.4, 1.1]),),
        lambda x: np.maximum(x, 0),
        (0,),
        primitives=("cond", "stop_gradient"),
    ),
    Sample(
        "cheap-cond-of-tangents-f64",  # a few elementwise operations
        _hinge(lambda t: lax.mul(t, 1.0)),
        (np.array([0.3, -0.4, 1.1]),),
        lambda x: np.maximum(x, 0),
        (0,),
        primitives=("select_n", "stop_gradient"),
    ),
    Sample(
        "cond-c128",
        lambda p, z: lax.cond(p, lambda z: lax.mul(z, z), lax.sin, z),
        (np.bool_(True), np.array([0.3 + 0.4j, 1 - 2j])),
        lambda p, z: z * z,
        (1,),
        batchable=(0, 1),
        primitives=("cond",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("path", [p for p in PATHS if "vmap" not in p])
def test_transformations_agree_with_the_branch_itself(function: Any, path: str, index: int) -> None:
    check_path(function, path, np.int32(index), _X, _Y, argnums=(1, 2))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("path", [p for p in PATHS if "vmap" in p])
def test_transformations_of_many_lanes(function: Any, path: str) -> None:
    """Lanes with one index, which chooses the branch for all."""
    for index in (0, 1):
        mapped = lambda lax, x, y, i=index: function(lax, np.int32(i), x, y)
        check_path(mapped, path, _X, _Y, argnums=(0, 1))


def test_lanes_choose_for_themselves() -> None:
    f = ours(_different_residuals)
    indices = np.array([2, 0, 1, 5, -1], np.int32)
    xs, ys = np.linspace(0.1, 0.9, 5), np.linspace(-1, 1, 15).reshape(5, 3)
    single = [[np.asarray(o) for o in f(*map(as_array, row))] for row in zip(indices, xs, ys, strict=True)]
    outs, dims = batch(f, Axis(5), [as_array(indices), as_array(xs), as_array(ys)], [0, 0, 0])
    for out, dim, column in zip(outs, dims, zip(*single, strict=True), strict=True):
        np.testing.assert_allclose(np.moveaxis(np.asarray(out), dim, 0), np.stack(column), rtol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_values_and_gradients_agree_with_jax(function: Any) -> None:
    for index in (0, 1):
        check(function, np.int32(index), np.float32(_X), _Y.astype(np.float32), units=64)
    check_grad(function, np.int32(1), _X, _Y, argnums=(1, 2))


def _program() -> Any:
    return stage(
        lambda i, x, y: list(_different_tangents(lax, i, x, y)),
        [as_array(np.int32(0)).aval, as_array(np.float32(0)).aval, as_array(np.zeros(3, np.float32)).aval],
    )


def test_programs_of_all_rules_verify() -> None:
    program = verify(_program())
    for nonzero in ((False, True, True), (False, True, False), (False, False, True)):
        pushed, out_nonzero = jvp_program(program, nonzero)
        verify(pushed)
        split = linearize_program(program, nonzero)
        verify(split.primal)
        verify(split.linear)
        assert split.out_nonzero == out_nonzero
        count = len(split.residual_inputs)
        linear = tuple(i >= count for i in range(len(split.linear.invars)))
        verify(transpose_program(split.linear, linear, (True,) * sum(out_nonzero))[0])
    for dims in ((None, 0, None), (None, None, 1), (0, None, None), (0, 0, 0)):
        verify(batch_program(program, Axis(4), dims)[0])


def test_a_result_without_tangent_in_any_branch_has_none() -> None:
    assert jvp_program(_program(), (False, True, False))[1] == (True, True, False)
    assert jvp_program(_program(), (False, False, False))[1] == (False, False, False)


def test_a_key_computed_in_one_branch_is_a_residual() -> None:
    """The other branch leaves a zero key in its slot."""

    def f(p: Any, w: Any, seed: Any) -> Any:
        def on_true(w: Any, seed: Any) -> Any:
            noise = lambda w, k: lax.mul(
                lax.sin(w), lax.convert_element_type(random_bits(k, 32, ()), np.float32)
            )
            return pb.checkpoint(noise)(w, random_seed(seed))

        return lax.cond(p, on_true, lambda w, seed: lax.mul(w, w), w, seed)

    w, seed = as_array(np.float32(1.5)), as_array(np.int32(3))
    bits = float(random_bits(random_seed(seed), 32, ()))
    program = stage(lambda *args: [f(*args)], [as_array(np.bool_(True)).aval, w.aval, seed.aval])
    split = linearize_program(program, (False, True, False))
    verify(split.primal)
    assert any(v.aval.dtype == KEY for v in split.linear.invars)
    for p, expected in ((True, np.cos(1.5) * bits), (False, 3.0)):
        found = pb.jit(pb.grad(f, 1))(p, w, seed)
        np.testing.assert_allclose(float(found), expected, rtol=1e-6)


def test_only_the_chosen_branch_runs() -> None:
    """A branch that would take forever if it ran."""

    def forever(x: Any) -> Any:
        return lax.while_loop(lambda c: lax.lt(c, lax.add(c, 1.0)), lambda c: lax.mul(c, 0.5), x)

    x = as_array(np.float32(2))
    assert float(lax.cond(False, forever, lax.neg, x)) == -2
    program = stage(lambda p, x: [lax.cond(p, forever, lax.neg, x)], [as_array(np.bool_(True)).aval, x.aval])
    assert float(evaluate(program, [as_array(np.bool_(False)), x])[0]) == -2
    _, linear = linearize(lambda x: [lax.cond(False, forever, lax.neg, x)], [x])
    assert float(backward_pass(linear.program, linear.residuals, [x])[0]) == -2


# Types and errors: as in JAX.


@pytest.mark.parametrize(
    ("on_true", "on_false"),
    [
        (lambda x: x, lambda x: 1.0),
        (lambda x: 1.0, lambda x: x),
        (lambda x: 1.0, lambda x: 2.0),
        (lambda x: 1, lambda x: 1.0),
        (lambda x: x, lambda x: 1),
        (lambda x: (x, x), lambda x: x),
        (lambda x: (x, x), lambda x: [x, x]),
        (lambda x: {"a": x}, lambda x: {"b": x}),
        (lambda x: None, lambda x: x),
        (lambda x: None, lambda x: None),
        (lambda x: np.ones(3, np.float32), lambda x: x),
        (lambda x: np.ones(3, np.float32), lambda x: np.zeros(3, np.float32)),
        (lambda x: "text", lambda x: x),
        (3, lambda x: x),
    ],
)
def test_types_agree_with_jax(on_true: Any, on_false: Any) -> None:
    check(lambda lax, x: lax.cond(True, on_true, on_false, x), np.float32(3))
    check(lambda lax, x: lax.cond(False, on_true, on_false, x), np.float32(3))


@pytest.mark.parametrize("pred", [2, 0.0, np.int8(1), None, "text", 1j, np.ones(2, bool), np.bool_(True), []])
def test_predicates_agree_with_jax(pred: Any) -> None:
    check(lambda lax, x: lax.cond(pred, lambda x: x, lambda x: 1.0, x), np.float32(3))


@pytest.mark.parametrize("index", [0, 1, 9, -9, True, 1.0, np.uint8(255), np.arange(2), "text"])
def test_indices_agree_with_jax(index: Any) -> None:
    for count in (1, 2, 3):
        check(
            lambda lax, x, n=count: lax.switch(
                index, [lambda x, k=k: lax.mul(x, np.float32(k)) for k in range(n)], x
            ),
            np.float32(3),
        )


def test_traced_indices_of_every_integer_type_are_clamped() -> None:
    f = lambda i, x: [lax.switch(i, [lambda x, k=k: lax.mul(x, np.float32(k)) for k in range(3)], x)]
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        x = as_array(np.float32(1))
        program = verify(stage(f, [as_array(dtype(0)).aval, x.aval]))
        info = np.iinfo(dtype)
        for value in (info.min, 0, 1, 2, 3, info.max):
            (out,) = evaluate(program, [as_array(dtype(value)), x])
            assert float(out) == min(max(value, 0), 2)


def test_predicates_of_every_type_may_be_traced() -> None:
    f = lambda p: [lax.cond(p, lambda: np.float32(1), lambda: np.float32(2))]
    for value in (
        np.bool_(True),
        np.int32(-3),
        np.uint8(0),
        np.float32(0.5),
        np.float16(0),
        np.float32(np.nan),
    ):
        p = as_array(value)
        (out,) = evaluate(verify(stage(f, [p.aval])), [p])
        assert float(out) == (1 if value else 2)


def test_older_forms() -> None:
    check(lambda lax, x: lax.cond(True, x, lambda v: lax.mul(v, 2.0), x, lax.neg), np.float32(3))
    check(lambda lax, x: lax.cond(False, x, lambda v: lax.mul(v, 2.0), x, lax.neg), np.float32(3))
    check(lambda lax, x: lax.cond(True, lambda v: v[0], lambda v: v[1], operand=(x, x)), np.float32(3))
    check(lambda lax, x: lax.cond(True, lambda v: x, lambda v: x, operand=None), np.float32(3))
    check(lambda lax, x: lax.cond(True, lambda v: x, lambda v: x, x, operand=x), np.float32(3))
    check(lambda lax, x: lax.switch(1, [lambda v: v, lax.neg], operand=x), np.float32(3))
    check(lambda lax, x: lax.switch(1, []), np.float32(3))
    check(lambda lax, x: lax.switch(1, [3], x), np.float32(3))


def test_errors_name_the_place() -> None:
    x = as_array(np.float32(1))
    with pytest.raises(
        ShapeError,
        match=r"(?s)true_fun \(<lambda>\) and .*\['a'\]\[1\] is f32\[\] from true_fun, f32\[2\] from false",
    ):
        lax.cond(True, lambda x: {"a": (x, x)}, lambda x: {"a": (x, lax.full((2,), 1.0))}, x)
    with pytest.raises(
        DTypeError,
        match=r"(?s)branch 0 .* and branch 2 .*f32\[\] from branch 0, i32\[\] from branch 2.*astype",
    ):
        lax.switch(0, [lambda x: x, lambda x: x, lambda x: np.int32(1)], x)
    with pytest.raises(
        StructureError, match=r"at key path \['a'\], the result of true_fun has .* tuple of length 2"
    ):
        lax.cond(True, lambda x: {"a": (x, x)}, lambda x: {"a": x}, x)
    with pytest.raises(ShapeError, match=r"bool\[2\] of shape \(2,\).*numpy.where"):
        lax.cond(as_array(np.ones(2, bool)), lambda x: x, lambda x: x, x)
    with pytest.raises(DTypeError, match="boolean or a real number, got dtype complex64"):
        lax.cond(1j, lambda x: x, lambda x: x, x)
    with pytest.raises(TypeError, match="the predicate is None"):
        lax.cond(None, lambda x: x, lambda x: x, x)
    with pytest.raises(DTypeError, match="must be an integer, got dtype float32"):
        lax.switch(1.0, [lambda x: x, lambda x: x], x)
    with pytest.raises(
        TypeError, match=r"cond: operand\[0\]\['k'\]: expected an array or a number, got 'text'"
    ):
        lax.cond(True, lambda x: 1, lambda x: 2, {"k": "text"})


def test_platform_dependent() -> None:
    x = as_array(np.float32(2))
    assert float(lax.platform_dependent(x, cpu=lax.neg, tpu=lax.sin)) == -2
    assert float(lax.platform_dependent(x, default=lax.neg, tpu=lax.sin)) == -2
    with pytest.raises(NotImplementedError, match="no function for the platform 'cpu'"):
        lax.platform_dependent(x, tpu=lax.sin)
    assert float(jax.lax.platform_dependent(np.float32(2), default=jax.lax.neg)) == -2


def test_disable_jit_runs_the_branch_with_values() -> None:
    seen = []

    def on_true(x: Any) -> Any:
        seen.append(float(x))
        return x

    with disable_jit(True):
        lax.cond(True, on_true, lambda x: seen.append(None), as_array(np.float32(2)))
        lax.switch(1, [lambda x: seen.append(None), on_true], as_array(np.float32(3)))
    assert seen == [2.0, 3.0]


def test_branches_are_traced_once_and_die_with_their_functions() -> None:
    count = 0

    def branch(x: Any) -> Any:
        nonlocal count
        count += 1
        return lax.neg(x)

    for _ in range(3):
        lax.cond(True, branch, branch, as_array(np.float32(2)))
    assert count == 1

    def run(captured: Any) -> None:
        lax.cond(True, branch, lambda x: lax.add(x, captured), as_array(np.ones(1000, np.float32)))

    captured = as_array(np.ones(1000, np.float32))
    reference = weakref.ref(captured)
    run(captured)
    for _ in range(20):  # combinations with a branch that lives on are remembered, but not without end
        run(as_array(np.ones(1000, np.float32)))
    del captured
    gc.collect()
    assert reference() is None


def test_program_text_names_the_primitive() -> None:
    text = str(_program())
    assert "cond[" in text
    assert "branches=(" in text
