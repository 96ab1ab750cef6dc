"""checkpoint: derivatives unchanged, what is kept, what is computed again, policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.ad_checkpoint
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import TracerBoolConversionError
from pullback._src.core.program import Program, subprograms
from pullback._src.core.verify import verify
from pullback.ad_checkpoint import checkpoint_name, print_saved_residuals, saved_residuals

from .library import PULLBACK, assert_same

X = 0.7
XS = np.linspace(0.1, 1.0, 4, dtype=np.float32)
W = np.arange(16, dtype=np.float32).reshape(4, 4) / 10


def _g(lib: Any) -> Any:
    return lambda x: lib.np.sin(lib.np.sin(x) * 2) + x


TRANSFORMED: dict[str, Callable[[Any, Any], Any]] = {
    "value": lambda lib, f: f(X),
    "grad": lambda lib, f: lib.pb.grad(f)(X),
    "jvp": lambda lib, f: lib.pb.jvp(f, (X,), (2.0,)),
    "jit-grad": lambda lib, f: lib.pb.jit(lib.pb.grad(f))(X),
    "grad-jit": lambda lib, f: lib.pb.grad(lib.pb.jit(f))(X),
    "vmap": lambda lib, f: lib.pb.vmap(f)(XS),
    "vmap-grad": lambda lib, f: lib.pb.vmap(lib.pb.grad(f))(XS),
    "grad-vmap": lambda lib, f: lib.pb.grad(lambda x: lib.np.sum(lib.pb.vmap(f)(x)))(XS),
    "grad-grad": lambda lib, f: lib.pb.grad(lib.pb.grad(f))(X),
    "hessian": lambda lib, f: lib.pb.hessian(f)(X),
    "jacrev-jacfwd": lambda lib, f: lib.pb.jacrev(lib.pb.jacfwd(f))(X),
    "nested": lambda lib, f: lib.pb.grad(lib.pb.checkpoint(lambda x: f(f(x))))(X),
    "linearize": lambda lib, f: lib.pb.linearize(f, X)[1](3.0),
    "scan": lambda lib, f: lib.pb.grad(lambda x: lib.lax.scan(lambda c, _: (f(c), c), x, None, length=3)[0])(
        X
    ),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations(name: str) -> None:
    assert_same(lambda lib: TRANSFORMED[name](lib, lib.pb.checkpoint(_g(lib))))


def _policies(lib: Any) -> dict[str, Any]:
    p = lib.pb.checkpoint_policies
    return {
        "none": None,
        "everything": p.everything_saveable,
        "nothing": p.nothing_saveable,
        "dots": p.dots_saveable,
        "checkpoint_dots": p.checkpoint_dots,
        "no-batch-dots": p.dots_with_no_batch_dims_saveable,
        "checkpoint-no-batch-dots": p.checkpoint_dots_with_no_batch_dims,
        "names": p.save_only_these_names("a"),
        "other-names": p.save_any_names_but_these("a"),
        "anything-except": p.save_anything_except_these_names("a"),
        "both": p.save_from_both_policies(p.dots_saveable, p.save_only_these_names("b")),
        "offload-dots": p.offload_dot_with_no_batch_dims("device", "pinned_host"),
        "offload-names": p.save_and_offload_only_these_names(
            names_which_can_be_saved=["a"],
            names_which_can_be_offloaded=["b"],
            offload_src="device",
            offload_dst="pinned_host",
        ),
    }


def _layers(lib: Any, policy: Any, inner: Any = lambda f: f) -> Any:
    name = jax.ad_checkpoint.checkpoint_name if lib.pb is jax else checkpoint_name

    def f(w: Any, x: Any) -> Any:
        y = name(lib.np.sin(lib.lax.dot(w, x)), "a")
        z = inner(lambda y: name(lib.np.sin(lib.lax.dot(w, y)), "b"))(y)
        return lib.np.sum(lib.np.sin(z))

    return lib.pb.checkpoint(f, policy=policy)


@pytest.mark.parametrize("name", [n for n in _policies(PULLBACK) if "offload" not in n])
def test_policies_against_jax(name: str) -> None:
    assert_same(lambda lib: lib.pb.grad(_layers(lib, _policies(lib)[name]), (0, 1))(W, XS), rtol=1e-4)


def _kept(name: str, inner: Any = lambda f: f) -> int:
    """How many values besides the arguments are kept under a policy."""
    policy = _policies(PULLBACK)[name]
    found = saved_residuals(_layers(PULLBACK, policy, inner), W, XS)
    return sum("argument" not in origin for _, origin in found)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("none", 0),
        ("nothing", 0),
        ("dots", 2),
        ("no-batch-dots", 2),
        ("names", 1),
        ("other-names", 1),
        ("both", 3),
        ("offload-dots", 2),
        ("offload-names", 2),
    ],
)
def test_what_policies_keep(name: str, count: int) -> None:
    # "both" keeps the products and the name "b"; of these the last is needed for cos(z).
    assert _kept(name) == count
    assert _kept(name, pb.jit) == count


def test_everything_saveable_keeps_what_no_checkpoint_keeps() -> None:
    plain = lambda w, x: pnp.sum(pnp.sin(pnp.sin(lax.dot(w, pnp.sin(lax.dot(w, x))))))
    without = [a for a, origin in saved_residuals(plain, W, XS) if "argument" not in origin]
    policy = pb.checkpoint_policies.everything_saveable
    kept = [a for a, origin in saved_residuals(_layers(PULLBACK, policy), W, XS) if "argument" not in origin]
    assert sorted(map(str, kept)) == sorted(map(str, without))


def _operations(program: Program, counts: dict[str, int]) -> dict[str, int]:
    for eqn in program.eqns:
        counts[eqn.primitive.name] = counts.get(eqn.primitive.name, 0) + 1
        for sub in subprograms(eqn.params):
            _operations(sub, counts)
    return counts


def test_program_computes_again() -> None:
    plain = pb.make_jaxpr(pb.grad(_g(PULLBACK)))(X)
    program = pb.make_jaxpr(pb.grad(pb.checkpoint(_g(PULLBACK))))(X)
    verify(program)
    again, once = _operations(program, {}), _operations(plain, {})
    assert again["checkpoint"] == 2
    assert (once["sin"], once["cos"]) == (2, 2)
    assert (again["sin"], again["cos"]) == (3, 2)  # the inner sine again; the outer cosines only there


def test_residuals_are_the_inputs() -> None:
    f = pb.checkpoint(_g(PULLBACK))
    assert [origin for _, origin in saved_residuals(f, X)] == ["from the argument args[0]"]
    kept = saved_residuals(lambda p: pnp.sin(p["w"]) * 2 * XS, {"w": X})
    assert [str(a.str_short()) for a, _ in kept] == ["f32[]", "f32[4]"]


def test_print_saved_residuals(capsys: pytest.CaptureFixture[str]) -> None:
    print_saved_residuals(lambda x, y: pnp.sin(pnp.sin(x)) * y, XS, y=X)
    lines = capsys.readouterr().out.splitlines()
    assert "f32[4] output of cos from" in "\n".join(lines)
    assert any(line.startswith("f32[] from the argument kwargs['y']") for line in lines)
    assert all("test_checkpoint.py" in line for line in lines if "output of" in line)


def test_pytrees_statics_and_closures() -> None:
    def body(lib: Any) -> Any:
        def f(p: Any, flag: Any, scale: Any = 1.0) -> Any:
            return {"o": lib.np.sin(p["w"]) * scale * (2 if flag else 3)}

        checked = lib.pb.checkpoint(f, static_argnums=(1,))
        loss = lambda p, s: lib.np.sum(checked(p, True, scale=s)["o"])
        closed = lambda y: lib.pb.checkpoint(lambda x: lib.np.sin(x * y))(2.0)
        return lib.pb.grad(loss, (0, 1))({"w": XS}, 2.0), lib.pb.grad(closed)(3.0)

    assert_same(body)
    decorated = pb.remat(lambda x, mode: x * (2 if mode == "a" else 3), static_argnames=("mode",))
    assert float(pb.grad(decorated)(1.0, mode="a")) == 2.0


def test_checkpoint_name() -> None:
    assert float(checkpoint_name(3.0, "a")) == 3.0
    np.testing.assert_allclose(float(pb.grad(lambda x: checkpoint_name({"a": x}, "n")["a"] * x)(3.0)), 6.0)
    np.testing.assert_allclose(np.asarray(pb.vmap(lambda x: checkpoint_name(x, "n"))(XS)), XS)
    assert "name[name=n]" in str(pb.make_jaxpr(lambda x: checkpoint_name(x, "n"))(X))
    with pytest.raises(TypeError, match="string"):
        checkpoint_name(1.0, 2)


def test_errors() -> None:
    with pytest.raises(TypeError, match="checkpoint expects a function, got 3"):
        pb.checkpoint(3)
    with pytest.raises(NotImplementedError, match="static_argnums"):
        pb.checkpoint(lambda x: x, concrete=True)
    with pytest.raises(ValueError, match=r"static_argnums=\(2,\), but there are 1 positional"):
        pb.checkpoint(lambda x: x, static_argnums=2)(1.0)
    with pytest.raises(TracerBoolConversionError):
        pb.checkpoint(lambda x: x if x > 0 else -x)(1.0)
