"""The current trace: what goes where, what a leaked tracer says, conversions of tracers to Python values."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base import errors
from pullback._src.core.array import ConcreteArray
from pullback._src.core.primitive import Primitive
from pullback._src.core.trace import CURRENT, EVAL, Trace, using
from pullback._src.ops.arithmetic import add_p
from pullback._src.ops.transcendental import sin_p

HERE = re.escape(__file__)


class Counting(Trace):
    """Counts what is applied and evaluates it."""

    def __init__(self) -> None:
        super().__init__(eager=False)
        self.seen: list[str] = []

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        self.seen.append(primitive.name)
        return EVAL.process(primitive, args, params)


def test_evaluation_is_the_bottom() -> None:
    assert CURRENT.get() is EVAL
    assert float(add_p.bind(pnp.asarray(1.0), pnp.asarray(2.0))) == 3.0


def test_a_trace_sees_everything_while_it_is_current() -> None:
    trace = Counting()
    with using(trace) as current:
        assert current is trace and CURRENT.get() is trace
        y = sin_p.bind(pnp.ones(2)) + 1.0
    assert CURRENT.get() is EVAL
    assert trace.seen[-2:] == ["sin", "add"]
    assert type(y) is ConcreteArray


def test_the_current_trace_is_restored_after_an_error() -> None:
    def bad(x: Any) -> Any:
        raise KeyError("mine")

    for transform in (pb.jit, pb.grad, pb.vmap, pb.make_jaxpr, pb.jacfwd, pb.jacrev):
        with pytest.raises(KeyError, match="mine"):
            transform(bad)(pnp.ones(2))
        assert CURRENT.get() is EVAL
    with pytest.raises(KeyError, match="mine"):
        pb.jvp(bad, (1.0,), (1.0,))
    with pytest.raises(KeyError, match="mine"):
        pb.linear_transpose(bad, 1.0)
    assert CURRENT.get() is EVAL


def test_other_threads_are_not_traced() -> None:
    found: list[Any] = []

    def f(x: Any) -> Any:
        thread = threading.Thread(target=lambda: found.append(pnp.ones(2) + 1.0))
        thread.start()
        thread.join()
        return x

    pb.jit(f)(1.0)
    assert type(found[0]) is ConcreteArray


def test_operations_without_tracers_stay_concrete_under_grad_and_vmap() -> None:
    found: list[Any] = []
    pb.grad(lambda x: found.append(pnp.ones(2) + 1.0) or x)(1.0)
    pb.vmap(lambda x: found.append(pnp.ones(2) + 1.0) or x)(pnp.ones(3))
    assert all(type(v) is ConcreteArray for v in found)
    pb.jit(lambda x: found.append(pnp.ones(2) + 1.0) or x)(1.0)
    assert type(found[-1]) is not ConcreteArray  # staging records constants too


LEAKS = {
    "staging": pb.jit,
    "reverse": pb.grad,
    "jvp": lambda f: lambda x: pb.jvp(f, (x,), (x,)),
    "vmap": lambda f: lambda x: pb.vmap(f)(pnp.stack([x, x])),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_leaked_tracers(kind: str) -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 2.0)
        return x

    LEAKS[kind](f)(pnp.asarray(1.0))
    (leaked,) = kept
    for use in (
        lambda: pnp.sin(leaked),
        lambda: leaked + 1.0,
        lambda: pb.jit(lambda x: x + leaked)(1.0),
        lambda: pb.jit(pnp.sin)(leaked),
        lambda: pb.grad(lambda x: x * leaked)(1.0),
        lambda: pb.vmap(lambda x: x * leaked)(pnp.ones(2)),
        pb.jit(lambda: leaked),
    ):
        with pytest.raises(errors.UnexpectedTracerError) as caught:
            use()
        message = str(caught.value)
        assert "f32[]" in message and "leaked" in message and kind in message
        assert "Return the value from the transformed function" in message
        assert re.search(rf"It was used at {HERE}:\d+ \(", message)
        assert re.search(rf"started at {HERE}:\d+ \(", message), message


def test_tracers_of_an_outer_transformation_may_be_used_inside() -> None:
    def outer(x: Any) -> Any:
        return pb.grad(pb.jit(lambda z: pnp.sin(z) * x))(x)

    assert float(pb.jit(outer)(1.0)) == pytest.approx(np.cos(1.0))
    assert float(pb.grad(outer)(1.0)) == pytest.approx(np.cos(1.0) - np.sin(1.0), rel=1e-5)


def test_text_of_tracers() -> None:
    texts: list[str] = []
    keep = lambda x: texts.append(repr(x)) or texts.append(f"{x}") or x
    pb.jit(keep)(1.0)
    pb.vmap(keep)(pnp.ones(2))
    pb.grad(keep)(1.0)
    assert texts[0] == "StagingTracer<f32[]>" == texts[1]
    assert texts[2] == "BatchTracer<f32[]>"
    assert texts[4].startswith("LinearizeTracer<f32[]>(primal=Array(1.")


def test_values_are_known_under_grad_and_jvp() -> None:
    def f(x: Any) -> Any:
        assert x > 0
        assert float(x) == 3.0 and int(x) == 3 and x.item() == 3.0 and f"{x:.1f}" == "3.0"
        assert np.asarray(x) == 3.0 and [0, 1, 2, 5][pnp.sum(x).astype(int)] == 5
        return x * float(x)

    assert float(pb.grad(f)(3.0)) == 3.0
    assert float(pb.grad(lambda x: pb.grad(f)(x) * x)(3.0)) == 3.0
    assert float(pb.jvp(f, (3.0,), (1.0,))[1]) == 3.0


CONVERSIONS: list[tuple[Any, type[Exception], str]] = [
    (bool, errors.TracerBoolConversionError, "a Python condition .*"),
    (lambda x: 1 if x > 0 else 2, errors.TracerBoolConversionError, "a Python condition .*bool"),
    (lambda x: x > 0 and x < 1, errors.TracerBoolConversionError, "a Python condition .*bool"),
    (float, errors.ConcretizationTypeError, r"float\(\)"),
    (int, errors.ConcretizationTypeError, r"int\(\)"),
    (complex, errors.ConcretizationTypeError, r"complex\(\)"),
    (lambda x: x.item(), errors.ConcretizationTypeError, r"item\(\)"),
    (lambda x: x.tolist(), errors.ConcretizationTypeError, r"tolist\(\)"),
    (lambda x: f"{x:.2f}", errors.ConcretizationTypeError, r"format\(\)"),
    (lambda x: range(x.astype(int)), errors.TracerIntegerConversionError, "a Python integer"),
    (lambda x: [1, 2][x.astype(int)], errors.TracerIntegerConversionError, "a Python integer"),
    (np.sin, errors.TracerArrayConversionError, "a NumPy function"),
    (np.asarray, errors.TracerArrayConversionError, "a NumPy function"),
]


@pytest.mark.parametrize("wrap", [pb.jit, pb.make_jaxpr, lambda f: pb.jit(pb.grad(f))])
@pytest.mark.parametrize(("use", "error", "message"), CONVERSIONS)
def test_values_are_not_known_while_staging(
    wrap: Any, use: Any, error: type[Exception], message: str
) -> None:
    def f(position: Any) -> Any:
        use(position)
        return position

    with pytest.raises(error, match=message) as caught:
        wrap(f)(1.5)
    text = str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert "needs a concrete value, but got a traced array of type" in text
    assert re.search(rf"at {HERE}:\d+ \(", text)


def test_the_error_names_the_argument_and_what_to_do() -> None:
    def f(scale: Any, *, options: Any) -> Any:
        if options["limit"][1] > 0:
            return scale
        return -scale

    with pytest.raises(errors.TracerBoolConversionError) as caught:
        pb.jit(f)(1.0, options={"limit": (1.0, 2.0)})
    text = str(caught.value)
    assert "the result of gt" in text and "traced for jit (f)" in text
    assert 'if options["limit"][1] > 0:' in text
    assert "lax.cond" in text and "static" in text

    with pytest.raises(errors.TracerBoolConversionError, match=r"the argument options\['limit'\]\[1\] of"):
        pb.jit(lambda scale, options: bool(options["limit"][1]))(1.0, {"limit": (1.0, 2.0)})


def test_batched_values_have_no_single_value() -> None:
    with pytest.raises(errors.TracerBoolConversionError, match="batched by vmap over an axis of size 3"):
        pb.vmap(lambda x: x if x > 0 else -x)(pnp.ones(3))


def test_what_is_not_implemented_says_so() -> None:
    nothing_p = Primitive("test_trace_nothing")
    with pytest.raises(NotImplementedError, match="'test_trace_nothing' has no implementation"):
        nothing_p.bind(pnp.ones(2))
    with pytest.raises(ValueError, match="exists already"):
        Primitive("test_trace_nothing")
