"""Random programs, made of instructions that are plain numbers, for comparing engines.

An instruction is `(operation, a, b, c, body)`; the numbers choose among what is possible at that point,
whatever they are. So any list of instructions is a program, and so is any part of it, which lets Hypothesis
shrink it.

There are two kinds of programs. *Exact* ones compute with small integers in all dtypes: each value has a
known bound below which the dtype's arithmetic does not round, so engines must agree bit for bit, and
comparisons, indices and branches may depend on anything. *Smooth* ones have derivatives, and agree up to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as jnp
from pullback import lax

Instruction = tuple[int, int, int, int, Sequence[Any]]

SIZES = (3, 7, 1, 17, 2, 8, 33, 5, 16, 0, 64, 4, 65, 129, 1000)
DTYPES = (
    "float32", "int32", "bool", "float64", "float16", "complex64", "int8", "bfloat16", "uint32", "int64",
    "complex128", "uint8",
)  # fmt: skip
# Up to which integers are exact, with room for products of two values within.
EXACT = {"float32": 1 << 22, "float64": 1 << 50, "float16": 1 << 10, "bfloat16": 1 << 7,
         "complex64": 1 << 20, "complex128": 1 << 48}  # fmt: skip
TAMED = 4
MOST = 1 << 13  # elements of a value


@dataclass
class Item:
    """A value of the program and a bound of its parts' magnitudes (None: integers, which wrap)."""

    value: Any
    bound: int | None


class Impossible(Exception):
    """An instruction that cannot keep the bounds."""


class Maker:
    """Runs instructions on a pool of values, within a function that is traced."""

    def __init__(self, smooth: bool, most: int = MOST) -> None:
        self.smooth = smooth
        self.most = most
        self.pool: list[Item] = []

    # The pool ----------------------------------------------------------------------------------------

    def add(self, value: Any, bound: int | None = TAMED) -> None:
        if value.size > self.most:
            value = value[tuple([slice(0, 3) for _ in value.shape])]
        self.pool.append(Item(value, bound if value.dtype.name in EXACT else None))

    def pick(self, number: int, test: Callable[[Item], bool] | None = None) -> Item | None:
        """One of the items that fulfil a condition, the latest ones first."""
        found = [i for i in reversed(self.pool) if test is None or test(i)]
        return found[number % len(found)] if found else None

    def limit(self, dtype: Any) -> int:
        return EXACT.get(np.dtype(dtype).name, 1 << 62)

    def tame(self, item: Item, bound: int = TAMED) -> Item:
        """The item with small numbers only."""
        x = item.value
        if item.bound is None or item.bound <= bound:
            return item
        if self.smooth:
            return Item(jnp.sin(x) if x.dtype.kind != "c" else x / (1.0 + item.bound), 1)
        if x.dtype.kind == "c":
            real, imaginary = (jnp.clip(part, -bound, bound) for part in (lax.real(x), lax.imag(x)))
            return Item(lax.complex(real, imaginary), bound)
        low, high = (jnp.asarray(b, x.dtype) for b in (-bound, bound))
        return Item(lax.clamp(low, x, high), bound)

    def put(self, value: Any, bound: int | None) -> None:
        """Add a result, made small if its numbers may not be exact."""
        item = Item(value, bound if value.dtype.name in EXACT else None)
        if item.bound is not None and item.bound >= (40 if self.smooth else self.limit(value.dtype)):
            raise Impossible
        self.add(item.value, item.bound)

    def room(self, *items: Item, factor: int = 1, product: bool = False) -> list[Item]:
        """The items, made small if a sum (or product) of theirs, `factor` times, would be too large."""
        limit = 40 if self.smooth else self.limit(items[0].value.dtype)
        bounds = [i.bound or 0 for i in items]
        total = factor * (2 * math.prod(bounds) if product else sum(bounds))
        if items[0].value.dtype.name not in EXACT or total < limit:
            return list(items)
        small = [self.tame(i) for i in items]
        bounds = [i.bound or 0 for i in small]
        total = factor * (2 * math.prod(bounds) if product else sum(bounds))
        if total < limit:
            return small
        return [self.tame(i, 1) if not self.smooth else Item(i.value / (2.0 * factor), 1) for i in small]

    def as_dtype(self, item: Item, dtype: Any) -> Item:
        """The item in another dtype."""
        x = item.value
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return item
        if x.dtype.kind == "c" and dtype.kind != "c":
            x, item = lax.real(x), Item(lax.real(x), item.bound)
        bound = item.bound
        if dtype.name in EXACT:
            if bound is None:
                low = -TAMED if x.dtype.kind == "i" else 0
                if x.dtype.kind in "iu":
                    x = lax.clamp(jnp.asarray(low, x.dtype), x, jnp.asarray(TAMED, x.dtype))
                bound = TAMED
            elif bound >= self.limit(dtype) // 4:
                x = self.tame(Item(x, bound)).value
                bound = TAMED
        elif bound is not None:
            x = self.tame(Item(x, bound)).value
            if dtype.kind == "u":
                x = lax.abs(x)
            bound = None
        return Item(lax.convert_element_type(x, dtype), bound)

    def broadcasting(self, item: Item, number: int) -> Item:
        """An item that broadcasts with `item`, in its dtype."""
        shape = item.value.shape

        def fits(other: Item) -> bool:
            mine = other.value.shape
            if len(mine) > len(shape):
                return False
            return all(n in (1, m) for n, m in zip(reversed(mine), reversed(shape), strict=False))

        found = self.pick(number, fits)
        return item if found is None else self.as_dtype(found, item.value.dtype)

    def index(self, number: int, high: int = 1) -> Any:
        """An integer that only run time knows."""
        found = self.pick(number, lambda i: i.value.size > 0 and i.value.dtype.kind in "iu")
        if found is None or (self.smooth and number % 2):
            return jnp.int32(number % (high + 1))
        return found.value.ravel()[number % found.value.size].astype(jnp.int32) % (high + 2)

    # Instructions ------------------------------------------------------------------------------------

    def run(self, instructions: Sequence[Any]) -> None:
        table = SMOOTH if self.smooth else ALL
        for operation, a, b, c, body in instructions:
            item = self.pick(a)
            assert item is not None
            with suppress(Impossible):
                table[operation % len(table)](self, item, b, c, body)

    def unary(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        kind = x.dtype.kind
        if x.dtype.name == "bool":
            self.put(lax.bitwise_not(x), None)
        elif self.smooth:
            chosen = (jnp.sin, jnp.tanh, lambda v: jnp.exp(jnp.sin(v)), lambda v: -v, jnp.square, jnp.cos)
            f = chosen[b % (4 if kind == "c" else 6)] if kind != "c" else (lambda v: -v, jnp.conj)[b % 2]
            (item, _) = self.room(item, item, product=True)
            self.put(f(item.value), max(3, (item.bound or 0) ** 2 if f is jnp.square else (item.bound or 0)))
        elif kind in "iu":
            chosen = (lax.neg, lax.bitwise_not, lax.population_count, lambda v: v * v)
            self.put(chosen[b % 4](x), None)
        elif kind == "c":
            self.put((lax.neg, lax.conj)[b % 2](x), item.bound)
        else:
            chosen = (lax.neg, lax.abs, lax.sign, _heavy, lax.floor)
            self.put(chosen[b % 5](x), max(item.bound or 0, TAMED))

    def binary(self, item: Item, b: int, c: int, body: Any) -> None:
        other = self.broadcasting(item, b)
        kind = item.value.dtype.kind
        if item.value.dtype.name == "bool":
            op = (jnp.logical_and, jnp.logical_or, jnp.logical_xor)[c % 3]
            self.put(op(item.value, other.value), None)
            return
        which = c % (3 if kind == "c" or self.smooth else 5)
        x, y = self.room(item, other, product=which == 2)
        op = (jnp.add, jnp.subtract, jnp.multiply, jnp.maximum, jnp.minimum)[which]
        bounds = [i.bound or 0 for i in (x, y)]
        self.put(op(x.value, y.value), 2 * math.prod(bounds) if which == 2 else sum(bounds))

    def compare(self, item: Item, b: int, c: int, body: Any) -> None:
        other = self.broadcasting(item, b)
        if item.value.dtype.kind == "c":
            self.put(jnp.equal(item.value, other.value), None)
            return
        op = (jnp.less, jnp.equal, jnp.greater_equal, jnp.not_equal)[c % 4]
        self.put(op(item.value, other.value), None)

    def select(self, item: Item, b: int, c: int, body: Any) -> None:
        other = self.broadcasting(item, b)
        if self.smooth:
            n = item.value.shape[-1] if item.value.ndim else 1
            mask = (jnp.arange(n) + c) % 3 == 0
            mask = mask if item.value.ndim else mask[0]
        else:
            mask = self.broadcasting(Item(item.value, None), c).value.astype(bool)
        self.put(jnp.where(mask, item.value, other.value), max(item.bound or 0, other.bound or 0))

    def reduce(self, item: Item, b: int, c: int, body: Any) -> None:
        rank = item.value.ndim
        axes = tuple([d for d in range(rank) if b >> d & 1]) if rank else ()
        count = math.prod(item.value.shape[d] for d in axes)
        keep = bool(c & 8)
        kind = item.value.dtype.kind
        if kind == "b":
            self.put((jnp.any, jnp.all)[c % 2](item.value, axis=axes, keepdims=keep), None)
            return
        if c % 3 == 0 or self.smooth or kind == "c" or not count:
            (item,) = self.room(item, factor=max(count, 1))
            self.put(
                jnp.sum(item.value, axis=axes, keepdims=keep, dtype=item.value.dtype),
                (item.bound or 0) * max(count, 1),
            )
        else:
            op = (jnp.max, jnp.min)[c % 2]
            self.put(op(item.value, axis=axes, keepdims=keep), item.bound)

    def argument(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if not x.ndim or not x.size or x.dtype.kind in "cb":
            return
        self.put((jnp.argmax, jnp.argmin)[c % 2](x, axis=b % x.ndim), None)

    def reshape(self, item: Item, b: int, c: int, body: Any) -> None:
        n, shape = item.value.size, []
        if n == 0:
            self.put(item.value.reshape((0, 1 + c % 3)), item.bound)
            return
        for k in (b % 5, c % 7, b % 3):
            factors = [f for f in (1, 2, 3, 4, 5, 7, 8, 11, 13) if n % f == 0]
            shape.append(factors[k % len(factors)])
            n //= shape[-1]
        if n > 1 or c % 2:
            shape.insert(c % 4, n)
        self.put(item.value.reshape(tuple(shape)), item.bound)

    def transpose(self, item: Item, b: int, c: int, body: Any) -> None:
        order = list(range(item.value.ndim))
        for k in (b, c):
            if order:
                order.append(order.pop(k % len(order)))
        self.put(item.value.transpose(order), item.bound)

    def slice(self, item: Item, b: int, c: int, body: Any) -> None:
        parts = []
        for d, n in enumerate(item.value.shape):
            start = (b >> d) % (n + 1) if n else 0
            stop = start + (c >> d) % (n - start + 1) if d % 2 else n
            parts.append(slice(start, stop, 1 + (b + d) % 3))
        self.put(item.value[tuple(parts)], item.bound)

    def rev(self, item: Item, b: int, c: int, body: Any) -> None:
        self.put(lax.rev(item.value, [d for d in range(item.value.ndim) if b >> d & 1]), item.bound)

    def pad(self, item: Item, b: int, c: int, body: Any) -> None:
        config = []
        for d, n in enumerate(item.value.shape):
            low, high, inside = (b >> d) % 4 - 1, (c >> d) % 4 - 1, (b + c + d) % 3 // 2
            total = low + high + n + max(n - 1, 0) * inside
            config.append((low, high, inside) if total >= 0 else (0, 0, 0))
        zero = jnp.asarray(b % 3, item.value.dtype)
        self.put(lax.pad(item.value, zero, config), max(item.bound or 0, 3))

    def concatenate(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if not x.ndim:
            self.put(jnp.stack([x, x]), item.bound)
            return
        axis = b % x.ndim

        def fits(i: Item) -> bool:
            rest = [n for d, n in enumerate(i.value.shape) if d != axis]
            return i.value.ndim == x.ndim and rest == [n for d, n in enumerate(x.shape) if d != axis]

        others = [self.pick(k, fits) for k in (c, c // 3)][: 1 + c % 2]
        parts = [item, *[self.as_dtype(o, x.dtype) for o in others if o is not None]]
        self.put(jnp.concatenate([p.value for p in parts], axis), max([p.bound or 0 for p in parts]))

    def broadcast(self, item: Item, b: int, c: int, body: Any) -> None:
        shape = list(item.value.shape)
        axis, size = b % (len(shape) + 1), SIZES[c % 8]
        if item.value.size * size > self.most or len(shape) > 4:
            return
        dims = [d + (d >= axis) for d in range(len(shape))]
        shape.insert(axis, size)
        self.put(lax.broadcast_in_dim(item.value, tuple(shape), dims), item.bound)

    def convert(self, item: Item, b: int, c: int, body: Any) -> None:
        self.pool.append(self.as_dtype(item, DTYPES[b % len(DTYPES)]))

    def iota(self, item: Item, b: int, c: int, body: Any) -> None:
        shape = item.value.shape
        if shape:
            dtype = np.dtype(("int32", "float32", "int8", "float64")[c % 4])
            x = lax.broadcasted_iota(jnp.int32, shape, b % len(shape)) % 5
            self.put(x.astype(dtype), 5)

    def dynamic_slice(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        starts = [self.index(b + d, n) for d, n in enumerate(x.shape)]
        sizes = [max(1, n - (c >> d) % 4) if n else 0 for d, n in enumerate(x.shape)]
        self.put(lax.dynamic_slice(x, starts, sizes), item.bound)

    def dynamic_update(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        part = [slice(0, max(1, n - (c >> d) % 4) if n else 0) for d, n in enumerate(x.shape)]
        other = self.pick(c, lambda i: i.value.shape == x.shape and i.value.dtype == x.dtype) or item
        starts = [self.index(b + d, n) for d, n in enumerate(x.shape)]
        window = other.value[tuple(part)]
        if b % 3 == 0 and x.dtype.kind != "b":
            (other,) = self.room(other, factor=2)
            window = other.value[tuple(part)] + other.value[tuple(part)]
            other = Item(other.value, 2 * (other.bound or 0))
        self.put(lax.dynamic_update_slice(x, window, starts), max(item.bound or 0, other.bound or 0))

    def gather(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        indices = self.pick(
            b, lambda i: i.value.dtype.kind in "iu" and i.value.size < 200 and i.value.ndim < 3
        )
        if not x.ndim or indices is None or indices.value.size * x.size > self.most * x.shape[0]:
            return
        axis = c % x.ndim
        if not x.shape[axis]:
            return
        self.put(jnp.take(x, indices.value.astype(jnp.int32) % x.shape[axis], axis=axis), item.bound)

    def scatter(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if not x.ndim or not x.shape[0] or x.dtype.kind == "b":
            return
        n = min(x.shape[0], 9)
        where = (jnp.arange(n) * (1 + b % 4) + self.index(b, 5)) % x.shape[0]
        other = self.pick(c, lambda i: i.value.shape == x.shape and i.value.dtype == x.dtype) or item
        x_item, other = self.room(item, other, factor=10)
        updates = other.value[:n]
        total = (x_item.bound or 0) + 10 * (other.bound or 0)
        at = x_item.value.at[where]
        if c % 3 == 0 or x.dtype.kind == "c" or self.smooth:
            self.put(at.add(updates), total)
        else:
            self.put((at.max(updates), at.min(updates))[c % 2], max(item.bound or 0, other.bound or 0))

    def dot(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if x.dtype.kind == "b":
            return

        def fits(i: Item) -> bool:
            shape = i.value.shape
            return bool(shape) and bool(x.shape) and shape[-1] == x.shape[-1] and i.value.size < 2000

        other = self.pick(b, fits)
        if other is None:
            return
        y = self.as_dtype(other, x.dtype)
        batch = min(x.ndim, y.value.ndim) > 1 and x.shape[0] == y.value.shape[0] and c % 2 == 0
        if (x.size * y.value.size) > self.most * x.shape[-1] * (x.shape[0] if batch else 1):
            return
        contracted = ((), ()) if c % 5 == 4 and batch else ((x.ndim - 1,), (y.value.ndim - 1,))
        if not contracted[0] and x.size * y.value.size > self.most:
            return
        count = x.shape[-1] if contracted[0] else 1
        left, right = self.room(item, y, factor=max(count, 1), product=True)
        numbers = (contracted, (((0,), (0,)) if batch else ((), ())))
        bound = 2 * (left.bound or 0) * (right.bound or 0) * max(count, 1)
        result = lax.dot_general(left.value, right.value, numbers)
        if result.size <= self.most and result.ndim <= 5:
            self.put(result, bound)

    def cumulative(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if not x.ndim or x.dtype.kind == "b":
            return
        axis = b % x.ndim
        if c % 2 or self.smooth or x.dtype.kind == "c":
            (item,) = self.room(item, factor=max(x.shape[axis], 1))
            bound = (item.bound or 0) * max(x.shape[axis], 1)
            self.put(lax.cumsum(item.value, axis, reverse=bool(c & 2)), bound)
        else:
            self.put(lax.cummax(x, axis, reverse=bool(c & 2)), item.bound)

    def sort(self, item: Item, b: int, c: int, body: Any) -> None:
        if item.value.ndim and item.value.dtype.kind != "c":
            self.put(lax.sort(item.value, dimension=b % item.value.ndim), item.bound)

    def parts(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if x.dtype.kind == "c":
            self.put((lax.real, lax.imag)[b % 2](x), item.bound)
        elif x.dtype.name in ("float32", "float64"):
            y = self.broadcasting(item, c)
            self.put(lax.complex(*jnp.broadcast_arrays(x, y.value)), max(item.bound or 0, y.bound or 0))

    # Control flow ------------------------------------------------------------------------------------

    def inner(self, items: Sequence[Item], captured: Sequence[Item]) -> Maker:
        """A maker for a loop's or branch's body."""
        maker = Maker(self.smooth, self.most)
        maker.pool = [*captured, *items]
        return maker

    def like(self, wanted: Item, number: int) -> Any:
        """A value of the type of `wanted` with small numbers."""

        def same(i: Item) -> bool:
            return bool(i.value.shape == wanted.value.shape and i.value.dtype == wanted.value.dtype)

        found = self.pick(number, same) or wanted
        return self.tame(found).value

    def carried(self, b: int) -> list[Item]:
        chosen = [self.pick(k) for k in (b, b // 3, b // 7)][: 1 + b % 3]
        return [Item(self.tame(i).value, self.tame(i).bound) for i in chosen if i is not None]

    def captures(self, c: int) -> list[Item]:
        return [i for k in (c, c // 5) if (i := self.pick(k)) is not None]

    def scan(self, item: Item, b: int, c: int, body: Any) -> None:
        first, captured = self.carried(b), self.captures(c)
        x = item.value
        if x.ndim == 0 or x.shape[0] > 70:
            x = jnp.arange(c % 6).astype(jnp.float32) * 0 + 1
            item = Item(x, 1)
        bounds: list[int | None] = []

        def step(carry: Any, part: Any) -> Any:
            now = [Item(v, i.bound) for v, i in zip(carry, first, strict=True)]
            maker = self.inner([*now, Item(part, item.bound)], captured)
            maker.run(body)
            following = [maker.like(i, b + k) for k, i in enumerate(now)]
            y = maker.pool[-1]
            bounds.append(y.bound)
            return following, y.value

        last, ys = lax.scan(step, [i.value for i in first], x, reverse=bool(c & 1))
        for value in last:
            self.add(value)
        if ys.size <= self.most and ys.ndim < 5:
            self.put(ys, bounds[-1])

    def while_loop(self, item: Item, b: int, c: int, body: Any) -> None:
        first, captured = self.carried(b), self.captures(c)
        turns = self.index(c, 6)

        def step(state: Any) -> Any:
            k, *carry = state
            now = [Item(v, i.bound) for v, i in zip(carry, first, strict=True)]
            maker = self.inner([*now, Item(k, None)], captured)
            maker.run(body)
            return [k + 1, *[maker.like(i, b + j) for j, i in enumerate(now)]]

        _, *last = lax.while_loop(lambda s: s[0] < turns, step, [jnp.int32(0), *[i.value for i in first]])
        for value in last:
            self.add(value)

    def cond(self, item: Item, b: int, c: int, body: Any) -> None:
        first = self.carried(b)
        captured = self.captures(c)
        half = len(body) // 2

        def branch(part: Any) -> Any:
            def run(*values: Any) -> Any:
                maker = self.inner([Item(v, i.bound) for v, i in zip(values, first, strict=True)], captured)
                maker.run(part)
                return [maker.like(i, c + k) for k, i in enumerate(first)]

            return run

        branches = [branch(body[:half]), branch(body[half:]), branch(())][: 2 + c % 2]
        for value in lax.switch(self.index(c, 2), branches, *[i.value for i in first]):
            self.add(value)

    def mapped(self, item: Item, b: int, c: int, body: Any) -> None:
        x = item.value
        if not x.ndim or not x.shape[0]:
            return
        captured = self.captures(c)
        bounds = []

        def one(part: Any) -> Any:
            maker = self.inner([Item(part, item.bound)], captured)
            maker.most = max(1, self.most // x.shape[0])
            maker.run(body)
            bounds.append(maker.pool[-1].bound)
            return maker.pool[-1].value

        # In one step, one by one, or in chunks.
        y = lax.map(one, x) if b % 4 == 1 else pb.vmap(one, batch_size=(None, None, 1, 2)[b % 4])(x)
        if y.size <= self.most:
            self.put(y, bounds[-1])


def _heavy(x: Any) -> Any:
    """Something expensive whose results are integers from -4 to 4."""
    return lax.round(jnp.tanh(x * jnp.asarray(0.3, x.dtype)) * jnp.asarray(4, x.dtype))


M = Maker
SMOOTH: Sequence[Callable[..., None]] = (
    M.binary, M.unary, M.reduce, M.reshape, M.transpose, M.binary, M.slice, M.rev, M.pad, M.concatenate,
    M.broadcast, M.select, M.dynamic_slice, M.dynamic_update, M.gather, M.scatter, M.dot, M.cumulative,
    M.scan, M.cond, M.unary, M.mapped, M.binary,
)  # fmt: skip
ALL: Sequence[Callable[..., None]] = (
    *SMOOTH, M.compare, M.argument, M.convert, M.iota, M.sort, M.parts, M.while_loop,
)  # fmt: skip


def argument(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray[Any, Any]:
    """Small integers (between -4 and 4), in any dtype."""
    generator = np.random.default_rng([seed, *shape])
    values = generator.integers(-TAMED, TAMED + 1, shape)
    kind = jnp.dtype(dtype)
    if kind.kind == "u":
        values = abs(values)
    if kind.kind == "b":
        return values > 0
    if kind.kind == "c":
        return (values + 1j * generator.integers(-TAMED, TAMED + 1, shape)).astype(kind)
    return values.astype(kind)


def function(instructions: Sequence[Instruction], smooth: bool, most: int = MOST, outs: int = 3) -> Any:
    """The function that runs the instructions and returns their last results, and one from the middle."""

    def run(*args: Any) -> list[Any]:
        maker = Maker(smooth, most)
        for x in args:
            maker.add(x)
        maker.run(instructions)
        chosen = [*maker.pool[-outs:], maker.pool[len(maker.pool) // 2]]
        return [i.value for i in chosen]

    return run
