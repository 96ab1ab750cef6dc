"""Loops that are joined, and memory that is used again, as small programs that once went wrong."""

from __future__ import annotations

from typing import Any

import pullback as pb
import pullback.lax as lax
import pullback.numpy as jnp

from .agreement import check, draw


def test_a_product_without_terms_keeps_its_operands() -> None:
    """An outer product is a map of its operands, whose memory must not be used again before it is computed."""

    def f(a: Any, b: Any, c: Any) -> Any:
        outer = lax.dot_general(a @ a, c, (((), ()), ((0,), (0,))))
        return outer + (b @ b) @ c

    check(f, draw(20, 20), draw(20, 20, seed=1), draw(20, 20, seed=2))


def test_a_loop_without_turns_keeps_its_operands() -> None:
    def f(x: Any, y: Any, z: Any, empty: Any) -> Any:
        last, _ = lax.scan(lambda c, i: (c * i[0], None), x @ x, empty)
        return last + (y @ y) @ z

    check(f, draw(40, 40), draw(40, 40, seed=1), draw(40, 40, seed=2), draw(0, 3))


def test_a_reduction_along_a_shared_loop() -> None:
    """A sum over a dimension whose loop several stages share is a stage of its own."""

    def f(x: Any) -> Any:
        y = jnp.exp(x)
        z = jnp.tanh(y - y.max(2, keepdims=True))
        return z, z.sum(1)

    check(f, draw(5, 6, 40))
    check(pb.vmap(f), draw(3, 5, 6, 40))
