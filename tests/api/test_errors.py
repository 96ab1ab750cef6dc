"""Bad input: what was expected, what came, what to do, and the user's line where the error is about one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import (
    DTypeError,
    PullbackError,
    ShapeError,
    StructureError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)

X = np.ones(3, np.float32)
N = np.arange(3)


def loss(w: Any, b: Any) -> Any:
    return pnp.sum(w * b)


def fails(call: Callable[[], Any], kind: type[Exception] | tuple[type[Exception], ...], *parts: str) -> str:
    """The message of the error that `call` raises; all `parts` must occur in it."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message, f"{part!r} is not in\n{message}"
    return message


def at_line_of(function: Callable[..., Any], text: str) -> str:
    """What an error says about the place of the line of `function` that holds `text`."""
    lines, start = inspect.getsourcelines(function)
    number = next(i for i, line in enumerate(lines) if text in line)
    return f"at {__file__}:{start + number} ({function.__qualname__})\n    {lines[number].strip()}"


# Shapes -------------------------------------------------------------------------------------------


def layer(x: Any) -> Any:
    y = pnp.sin(x)
    return pnp.sum(y + pnp.ones(2))


HOW: dict[str, Callable[[], Any]] = {
    "un-jitted": lambda: layer(X),
    "jit": lambda: pb.jit(layer)(X),
    "grad": lambda: pb.grad(layer)(X),
    "jvp": lambda: pb.jvp(layer, (X,), (X,)),
    "vmap": lambda: pb.vmap(layer)(np.ones((4, 3), np.float32)),
    "make_jaxpr": lambda: pb.make_jaxpr(layer)(X),
    "eval_shape": lambda: pb.eval_shape(layer, X),
    "jit of vmap of grad": lambda: pb.jit(pb.vmap(pb.grad(layer)))(np.ones((4, 3), np.float32)),
    "grad of jit": lambda: pb.grad(pb.jit(layer))(X),
    "hessian": lambda: pb.hessian(layer)(X),
    "scan": lambda: lax.scan(lambda c, x: (c, layer(x)), 0.0, np.ones((4, 3), np.float32)),
}


@pytest.mark.parametrize("how", HOW)
def test_shapes_that_do_not_fit(how: str) -> None:
    """As the function sees them, and at its line, however it is transformed."""
    for _ in range(3):
        fails(
            HOW[how],
            ShapeError,
            "add: operands of shapes (3,) and (2,) cannot be broadcast together",
            "dimension -1 is 3 in one and 2 in another",
            at_line_of(layer, "pnp.ones(2)"),
        )


def shape_cases(x: Any) -> dict[str, tuple[Callable[[], Any], tuple[str, ...]]]:
    m = pnp.ones((2, 3)) * x[0]
    return {
        "operator": (lambda: m + pnp.ones((4,)), ("(2, 3) and (4,)",)),
        "function": (lambda: pnp.maximum(m, pnp.ones((3, 2))), ("(2, 3) and (3, 2)",)),
        "matmul": (lambda: m @ pnp.ones((4, 5)), ("(2, 3) and (4, 5)", "must be equal")),
        "dot": (lambda: pnp.dot(m, m), ("(2, 3) and (2, 3)",)),
        "reshape": (lambda: m.reshape(4, 2), ("(2, 3)", "6 elements", "(4, 2)", "8 elements")),
        "concatenate": (lambda: pnp.concatenate([m, pnp.ones((2, 2))]), ("(2, 3), (2, 2)",)),
        "stack": (lambda: pnp.stack([m, x]), ("(2, 3)", "(3,)")),
        "where": (lambda: pnp.where(x > 0, m, pnp.ones((5, 3))), ("(2, 3)", "(5, 3)")),
        "lax.add": (lambda: lax.add(m, pnp.ones((3, 3))), ("(2, 3)", "(3, 3)")),
    }


@pytest.mark.parametrize("name", shape_cases(pnp.ones(3)))
@pytest.mark.parametrize("how", ["un-jitted", "jit", "vmap"])
def test_shape_errors_name_all_shapes_and_the_line(name: str, how: str) -> None:
    parts = shape_cases(pnp.ones(3))[name][1]
    f = lambda x: shape_cases(pnp.asarray(x))[name][0]()
    run = {
        "un-jitted": lambda: f(X),
        "jit": lambda: pb.jit(f)(X),
        "vmap": lambda: pb.vmap(f)(np.stack([X, X])),
    }
    message = fails(run[how], (ShapeError, ValueError, TypeError), *parts)
    assert re.search(rf"at {re.escape(__file__)}:\d+ \(shape_cases\.<locals>\.<lambda>\)", message), message


def test_shape_errors_can_be_caught_as_numpys() -> None:
    for kind in (TypeError, ValueError, PullbackError):
        with pytest.raises(kind):
            pnp.ones(3) + pnp.ones(2)


# Gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grad", "value_and_grad"])
def test_outputs_that_are_not_scalar(name: str) -> None:
    transform = getattr(pb, name)
    hint = "Reduce it (for example with .sum()), or use jacrev, jacfwd or vjp"
    for f in (pnp.sin, pb.jit(pnp.sin)):
        fails(
            lambda f=f: transform(f)(X), TypeError, f"{name} expects", "scalar", "sin returned f32[3]", hint
        )
    fails(lambda: transform(lambda x: x[:1])(X), TypeError, "f32[1] of shape (1,)")
    fails(lambda: transform(lambda x: (x, x))(1.0), TypeError, "scalar", "of type tuple", "Pass has_aux=True")
    fails(lambda: transform(lambda x: None)(1.0), TypeError, "returned None", "return statement")
    fails(lambda: transform(lambda x: {"loss": x})(1.0), TypeError, "of type dict")
    fails(lambda: transform(lambda x: "a")(1.0), TypeError, "returned 'a' of type str")


@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacrev", "jacfwd"])
def test_integer_inputs(name: str) -> None:
    transform = getattr(pb, name)
    expected = f"{name} expects real- or complex-valued inputs"
    hint = "Pass a float (2.0 instead of 2; x.astype(float))"
    fails(lambda: transform(lambda x: x**2)(3), DTypeError, expected, "i32[] at argument 0", hint)
    fails(lambda: transform(lambda x: x * 1.0)(True), DTypeError, expected, "bool[] at argument 0")
    fails(lambda: transform(loss, argnums=1)(X, N), DTypeError, "i32[3] at argument 1")
    fails(lambda: transform(loss, argnums=(1, 0))(X, N), DTypeError, "i32[3] at argument 1")
    fails(lambda: transform(lambda d: 1.0)({"n": [2.0, 3]}), DTypeError, "i32[] at argument 0['n'][1]")
    fails(lambda: transform(loss, argnums=(0, 1))(X, {"n": 3}), DTypeError, "i32[] at argument 1['n']")


def test_outputs_that_are_not_real() -> None:
    hint = "If the function is holomorphic pass holomorphic=True; otherwise"
    fails(lambda: pb.grad(lambda x: x * 1j)(1.0), DTypeError, "expects a real-valued output", "c64[]", hint)
    fails(lambda: pb.grad(lambda z: z * z)(1j), DTypeError, "expects a real-valued output", "c64[]", hint)
    fails(lambda: pb.jacrev(lambda x: x * 1j)(X), DTypeError, "expects real-valued outputs", "c64[3]", hint)
    fails(
        lambda: pb.jacfwd(lambda x: x)(1j),
        DTypeError,
        "expects real-valued inputs",
        "c64[] at argument 0",
        hint,
    )
    for f in (pnp.argmax, lambda x: (x > 0).all()):
        fails(lambda f=f: pb.grad(f)(X), DTypeError, "real-valued output of a float dtype", "astype(float)")
        fails(lambda f=f: pb.jacrev(f)(X), DTypeError, "outputs of a float dtype")


def test_holomorphic_functions_need_complex_values() -> None:
    for name in ("grad", "value_and_grad", "jacrev", "jacfwd"):
        transform = getattr(pb, name)
        fails(
            lambda t=transform: t(lambda z: z * z, holomorphic=True)(1.0),
            DTypeError,
            f"{name} with holomorphic=True expects complex inputs, got f32[] at argument 0",
        )
    fails(
        lambda: pb.grad(pnp.abs, holomorphic=True)(1j),
        DTypeError,
        "expects a complex output",
        "abs",
        "returned f32[]",
    )


def test_argnums() -> None:
    text = "the function was called with 2 positional arguments. Pass differentiated arguments by position"
    fails(lambda: pb.grad(loss, argnums=2)(X, X), ValueError, "argnums=2", text)
    fails(lambda: pb.grad(loss, argnums=(0, -3))(X, X), ValueError, "argnums=(0, -3)", "argument -3", text)
    fails(lambda: pb.grad(loss)(w=X, b=X), ValueError, "with 0 positional arguments")
    fails(lambda: pb.jacfwd(loss, argnums="w")(X, X), TypeError, "must be an int or a tuple of ints, got 'w'")
    fails(lambda: pb.grad(loss, argnums=1.0)(X, X), TypeError, "got 1.0")
    fails(lambda: pb.grad(loss, argnums=(0, -2))(X, X), ValueError, "names positional argument 0 twice")


def test_arguments_that_are_no_arrays() -> None:
    fails(
        lambda: pb.grad(lambda x: x)("abc"), TypeError, "expected an array or a number", "'abc' of type str"
    )
    fails(lambda: pb.jit(loss)(X, "abc"), TypeError, "jit(loss): the argument b is 'abc'", "Mark it static")
    fails(lambda: pb.jit(lambda d: d)({"a": [object()]}), TypeError, "the argument d['a'][0] is <object")
    fails(
        lambda: pb.vmap(loss)(X, {"k": "abc"}),
        TypeError,
        "vmap(loss): the argument b['k']",
        "'abc' of type str",
    )
    fails(lambda: pb.vjp(loss, X, "abc"), TypeError, "vjp: a primal input", "'abc' of type str")


def test_results_that_are_no_arrays() -> None:
    text = "A function that is transformed returns arrays, numbers, and pytrees of those"
    out = lambda x: {"a": [x, "text"]}
    fails(lambda: pb.jit(out)(X), TypeError, "output of <lambda> at ['a'][1]", "'text' of type str", text)
    fails(lambda: pb.vmap(out)(X), TypeError, "the function's output at ['a'][1]", text)
    fails(lambda: pb.vjp(out, X), TypeError, "the function's output at ['a'][1]", text)
    fails(lambda: pb.jacrev(out)(X), TypeError, "the function's output at ['a'][1]", text)
    fails(lambda: pb.jit(lambda x: object())(X), TypeError, "of type object", text)


def test_auxiliary_data() -> None:
    for name, call in {
        "grad": lambda f: pb.grad(f, has_aux=True)(1.0),
        "vjp": lambda f: pb.vjp(f, 1.0, has_aux=True),
        "jvp": lambda f: pb.jvp(f, (1.0,), (1.0,), has_aux=True),
        "jacfwd": lambda f: pb.jacfwd(f, has_aux=True)(1.0),
    }.items():
        expected = f"{name} with has_aux=True expects the function to return a pair (output, aux), got "
        fails(lambda c=call: c(lambda x: x), TypeError, expected)
        fails(lambda c=call: c(lambda x: (x, 1, 2)), TypeError, expected + "tuple of length 3")


def test_operations_without_derivative() -> None:
    fails(
        lambda: pb.grad(lambda x: pb.pure_callback(lambda v: v, x, x))(1.0),
        (TypeError, NotImplementedError, ValueError),
        "pure_callback",
    )


# Tangents and cotangents --------------------------------------------------------------------------


def test_structures_that_differ_show_the_path() -> None:
    f = lambda d: d["a"]
    fails(
        lambda: pb.jvp(f, ({"a": X},), ({"b": X},)),
        StructureError,
        "at key path [0], primals has a dict with key 'a', but tangents has a dict with key 'b'",
    )
    fails(
        lambda: pb.jvp(f, ({"a": [X, (X, X)]},), ({"a": [X, (X,)]},)),
        StructureError,
        "at key path [0]['a'][1], primals has a tuple of length 2, but tangents has a tuple of length 1",
    )
    fails(lambda: pb.jvp(loss, (X, X), (X,)), StructureError, "tuple of length 2", "tuple of length 1")
    fails(
        lambda: pb.jvp(pnp.sin, X, X), TypeError, "as tuples or lists, one entry for each argument", "ndarray"
    )
    _, pull = pb.vjp(lambda x: {"a": x, "b": (x, x)}, X)
    fails(
        lambda: pull({"a": X, "b": (X,)}),
        StructureError,
        "at key path ['b'], the function's output has a tuple of length 2",
        "the cotangent has a tuple of length 1",
    )
    fails(lambda: pull(X), StructureError, "a dict with keys", "the cotangent is a leaf")
    fails(lambda: pb.vjp(pnp.sin, X)[1]((X,)), StructureError, "output is a leaf", "a tuple of length 1")
    fails(lambda: pb.linearize(pnp.sin, X)[1](X, X), StructureError, "length 1", "length 2")
    fails(
        lambda: pb.tree.map(lambda a, b: a, {"k": [1, 2]}, {"k": [1]}), (StructureError, ValueError), "['k']"
    )


def test_structures_of_control_flow() -> None:
    fails(
        lambda: lax.cond(True, lambda x: {"a": x}, lambda x: {"b": x}, X),
        StructureError,
        "the same structure",
        "'a'",
        "'b'",
    )
    fails(
        lambda: lax.scan(lambda c, x: ({"s": (c["s"][0],)}, x), {"s": (0.0, 1.0)}, X),
        StructureError,
        "carry",
        "['s']",
        "a tuple of length 2",
        "a tuple of length 1",
    )
    fails(lambda: lax.scan(lambda c, x: (c.astype(int), x), 0.0, X), DTypeError, "carry", "f32[]", "i32[]")


def test_tangents_of_the_wrong_type_show_the_path() -> None:
    short, half = np.ones(2, np.float32), np.ones(3, np.float16)
    f = lambda d: d["a"]
    fails(
        lambda: pb.jvp(f, ({"a": X},), ({"a": short},)),
        ShapeError,
        "each tangent must have the shape of its primal: expected (3,), got (2,) at [0]['a']",
    )
    fails(
        lambda: pb.jvp(f, ({"a": X},), ({"a": half},)),
        DTypeError,
        "each tangent must have the dtype of its primal: expected float32, got float16 at [0]['a']",
        ".astype('float32')",
    )
    fails(
        lambda: pb.jvp(lambda n: n, (N,), (N,)),
        DTypeError,
        "for the primal of dtype int32 the tangent must have dtype float0",
    )
    _, pull = pb.vjp(lambda x: {"a": x}, X)
    fails(
        lambda: pull({"a": short}),
        ShapeError,
        "each cotangent must have the shape of its output: expected (3,), got (2,) at ['a']",
    )
    fails(lambda: pull({"a": half}), DTypeError, "expected float32, got float16 at ['a']")
    fails(lambda: pb.linearize(pnp.sin, X)[1](short), ShapeError, "expected (3,), got (2,)")
    fails(lambda: pb.linear_transpose(lambda x: x * 2.0, X)(short), ShapeError, "expected (3,), got (2,)")


# vmap ---------------------------------------------------------------------------------------------


def test_vmap_sizes_that_differ_name_the_arguments() -> None:
    fails(
        lambda: pb.vmap(loss)(np.ones(3), {"a": np.ones((4, 2)), "b": [np.ones(3)]}),
        ValueError,
        "the mapped axes must all have one size",
        "the argument w of shape (3,) has size 3 along axis 0",
        "the argument b['a'] of shape (4, 2) has size 4 along axis 0",
        "the argument b['b'][0] of shape (3,) has size 3 along axis 0",
    )
    fails(
        lambda: pb.vmap(loss, (1, 0))(np.ones((3, 2)), X),
        ValueError,
        "w of shape (3, 2) has size 2 along axis 1",
    )
    fails(lambda: pb.vmap(lambda *xs: xs[0])(X, np.ones(4)), ValueError, "the argument args[1] of shape (4,)")
    fails(lambda: pb.vmap(lambda x, *, y: x)(X, y=np.ones(4)), ValueError, "the argument y of shape (4,)")
    fails(
        lambda: pb.vmap(lambda x: x, axis_size=5)(X),
        ValueError,
        "axis_size is 5",
        "x of shape (3,) has size 3",
    )


def test_vmap_axes() -> None:
    fails(
        lambda: pb.vmap(lambda x, s: x)(X, 1.0),
        ValueError,
        "axis 0 is out of range for the argument s of shape ()",
        "in_axes=None",
    )
    fails(
        lambda: pb.vmap(lambda x: x, 2)(np.ones((3, 2))), ValueError, "axis 2", "shape (3, 2)", "2 dimensions"
    )
    fails(
        lambda: pb.vmap(loss, (0,))(X, X), ValueError, "in_axes (0,) has 1 entries", "2 positional arguments"
    )
    fails(
        lambda: pb.vmap(lambda d: d, ({"b": 0},))({"a": X}),
        ValueError,
        "at key path [0], the tree of values has a dict with key 'a'",
        "'b'",
    )
    fails(lambda: pb.vmap(loss, "ab"), TypeError, "in_axes must be an int, None, or a tuple", "'ab'")
    fails(
        lambda: pb.vmap(loss, (0, 1.5))(X, X), TypeError, "in_axes must have ints and None as leaves, got 1.5"
    )
    fails(lambda: pb.vmap(loss, (None, None))(X, X), ValueError, "at least one mapped argument", "axis_size")
    fails(lambda: pb.vmap(lambda x: x, out_axes=None)(X), ValueError, "out_axes is None", "give it an int")
    fails(
        lambda: pb.vmap(lambda x: x, out_axes=3)(X), ValueError, "out_axes 3 is out of range", "1 dimension"
    )
    fails(
        lambda: pb.vmap(lambda x: (x, x), out_axes=(0,))(X),
        ValueError,
        "out_axes",
        "tuple of length 2",
        "tuple of length 1",
    )


# jit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[1, 2], {}, np.ones(2), pnp.ones(2), {1}, ([],)], ids=repr)
def test_unhashable_static_arguments(value: Any) -> None:
    f = lambda x, n: x
    kind = type(value).__name__
    text = "is static, so it must be hashable, but it is"
    fails(lambda: pb.jit(f, static_argnums=1)(1.0, value), ValueError, "argument 1", text, kind, "tuple")
    fails(lambda: pb.jit(f, static_argnames="n")(1.0, n=value), ValueError, "the argument 'n'", text, kind)
    fails(lambda: pb.make_jaxpr(f, static_argnums=1)(1.0, value), ValueError, text)


def test_static_arguments_that_do_not_exist() -> None:
    fails(
        lambda: pb.jit(loss, static_argnums=5),
        ValueError,
        "static_argnums=5",
        "2 positional parameters (w, b)",
    )
    fails(lambda: pb.jit(loss, static_argnames="c"), ValueError, "static_argnames names 'c'", "w, b")
    fails(
        lambda: pb.jit(loss, static_argnums="w"), TypeError, "must be an int or a sequence of ints, got 'w'"
    )
    fails(
        lambda: pb.jit(loss, static_argnames=3), TypeError, "must be a string or a sequence of strings, got 3"
    )


def test_missing_and_unknown_arguments() -> None:
    """As in Python, also after the transformations."""
    for transform in (pb.jit, pb.grad, pb.vmap, pb.jacfwd, pb.value_and_grad, pb.make_jaxpr):
        fails(lambda t=transform: t(loss)(X), TypeError, "missing 1 required positional argument: 'b'")
        fails(lambda t=transform: t(loss)(X, X, c=X), TypeError, "unexpected keyword argument 'c'")
    fails(lambda: pb.jit(loss, static_argnum=1), TypeError, "unexpected keyword argument 'static_argnum'")
    fails(lambda: pb.grad(loss, argnum=1), TypeError, "unexpected keyword argument 'argnum'")
    fails(lambda: pb.vmap(loss, in_axis=1), TypeError, "unexpected keyword argument 'in_axis'")
    fails(lambda: pnp.sum(X, axes=0), TypeError, "unexpected keyword argument 'axes'")


@pytest.mark.parametrize(
    "name", ["jit", "grad", "value_and_grad", "vmap", "jacfwd", "jacrev", "hessian", "make_jaxpr"]
)
def test_what_is_not_a_function(name: str) -> None:
    fails(
        lambda: getattr(pb, name)(3), TypeError, "expects a function as its first argument, got 3 of type int"
    )

    def generator(x: Any) -> Any:
        yield x

    fails(lambda: getattr(pb, name)(generator), TypeError, "the generator function generator")


# Tracers ------------------------------------------------------------------------------------------


def branch(x: Any) -> Any:
    if x > 0:
        return x
    return -x


def call_numpy(x: Any) -> Any:
    return np.exp(x)


def count(n: Any) -> Any:
    return [i for i in range(n)]  # noqa: C416


def test_tracers_in_python_and_numpy() -> None:
    why = "whose value is not known while the function is being traced"
    fails(
        lambda: pb.jit(branch)(1.0),
        TracerBoolConversionError,
        "(if, while, and, or, not, assert, bool())",
        "the result of gt",
        "bool[]",
        why,
        "lax.cond",
        at_line_of(branch, "if x"),
    )
    fails(lambda: pb.vmap(branch)(X), TracerBoolConversionError, "batched by vmap over an axis of size 3")
    fails(
        lambda: pb.jit(call_numpy)(X),
        TracerArrayConversionError,
        "a NumPy function",
        "f32[3]",
        "the argument x of a function traced for jit (call_numpy)",
        why,
        "Use the function of the same name in pullback.numpy",
        at_line_of(call_numpy, "np.exp"),
    )
    fails(
        lambda: pb.jit(count)(3),
        TracerIntegerConversionError,
        "range()",
        "the argument n of",
        why,
        "lax.fori_loop",
        at_line_of(count, "range"),
    )
    for convert in (float, int, complex):
        fails(lambda c=convert: pb.jit(c)(1.0), TypeError, f"{convert.__name__}() needs", why)


def test_results_whose_shape_depends_on_values() -> None:
    fails(lambda: pb.jit(lambda x: x[x > 0])(X), IndexError, "bool", "numpy.where(mask, x, y)")
    fails(lambda: pb.jit(pnp.zeros)(3), TracerIntegerConversionError, "static")
    fails(lambda: pb.jit(pnp.nonzero)(X), TypeError, "size=n")
    fails(lambda: pb.jit(pnp.unique)(X), TypeError, "size")


def test_leaked_tracers() -> None:
    kept: list[Any] = []

    def leak(x: Any) -> Any:
        kept.append(x * 2)
        return x

    def use() -> Any:
        return kept[0] + 1.0

    pb.jit(leak)(X)
    fails(
        use,
        UnexpectedTracerError,
        "a traced array of type f32[3]",
        "leaked",
        "Return the value from the transformed function",
        at_line_of(use, "kept[0]"),
        at_line_of(test_leaked_tracers, "pb.jit(leak)"),
    )


# Arrays -------------------------------------------------------------------------------------------


def test_assignment() -> None:
    def assign(x: Any) -> None:
        x[0] = 1.0

    for run in (assign, pb.jit(assign), pb.grad(assign), pb.vmap(assign)):
        fails(lambda run=run: run(pnp.ones((2, 3))), TypeError, "immutable", "x.at[index].set(value)")


def test_lists_where_arrays_are_needed() -> None:
    fails(lambda: pnp.sin([1.0]), TypeError, "sin requires arrays or numbers", "list", "numpy.array")
    fails(lambda: pnp.ones(2) + "a", TypeError, "str")


def test_indices() -> None:
    fails(lambda: pnp.ones(3)[0, 0], IndexError, "too many indices", "(3,)")
    fails(lambda: pnp.ones(3)[1.5], TypeError, "integer", "float")
    fails(lambda: pnp.ones(3)["a"], (TypeError, IndexError), "a")


def test_dtypes() -> None:
    fails(lambda: pnp.ones(3, "quaternion"), TypeError, "quaternion")
    fails(lambda: lax.add(pnp.ones(3), pnp.ones(3, int)), DTypeError, "float32", "int32")
    fails(lambda: pnp.ones(3) << 2, TypeError, "shift_left", "float32")


def test_check_grads_arguments() -> None:
    fails(
        lambda: pb.test_util.check_grads(pnp.sin, X, order=1), TypeError, "as a tuple with an entry for each"
    )
