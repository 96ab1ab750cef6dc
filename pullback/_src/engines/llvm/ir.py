"""Writing LLVM IR as text: scopes, loops, and one function for each instruction.

The emitter writes straight into lists of lines; nothing is built that must be printed later. Two properties
come for free from writing each instruction into the right list:

* **Invariant code moves out of loops by construction.** A scope is opened for each loop (and each branch). A
  value knows the *level* of the scope it was written in; a pure instruction is written at the deepest level
  of its operands, so what does not depend on a loop's variable stands before the loop.
* **Common subexpressions are written once.** The text of a pure instruction is its key.

Integer division and other instructions that can trap, loads, and everything with an effect stay where the
caller puts them. Floating-point instructions carry no fast-math flags: a product that is added is
written as an explicit `llvm.fma` (`contract`), so that results do not depend on the code generator's level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .ir_loops import Loop, While
from .ir_values import (
    BITS,
    FALSE,
    FLOATS,
    MINUS_ONES,
    ONES,
    TRUE,
    Value,
    compared,
    constant,
    literal_text,
    mangle,
    negative,
    shuffle_mask,
    type_text,
    vector_literal,
)
from .module import Module


class Scope:
    """The lines of a loop body, a branch or the function itself, and what has been computed there."""

    __slots__ = ("lines", "known", "label")

    def __init__(self, label: str) -> None:
        self.lines: list[str] = []
        self.known: dict[Any, Any] = {}
        self.label = label  # of the basic block that is being written


class Emitter:
    """Writes one LLVM function."""

    def __init__(self, module: Module, prefix: str = "v", *, outlined: bool = False) -> None:
        self.module = module
        self.outlined = outlined  # whether this is a part of a program that several threads run
        self.scopes = [Scope("entry")]
        self.frame: list[str] = []  # the function's first lines: its stack memory
        self.contract = True
        self.positions = 0  # of stages that have been written, to tell them apart
        # While a tile is transposed: the variable of its rows, and which row is being written.
        self.tile: tuple[str, int] | None = None
        self._prefix = prefix
        self._count = 0
        self._places: dict[int, tuple[Sequence[Any], int]] = {}  # positions by their identity
        self._numbers: dict[tuple[Any, ...], int] = {}  # and by their keys
        self._products: dict[str, tuple[Value, Value]] = {}
        self.negated: dict[str, Value] = {}  # what a value is the negative of
        self.roots: dict[str, Value] = {}  # what a value is the square of
        self.bounds: dict[str, tuple[float, float]] = {}  # what a value lies between (`math.bounds`)
        self.own = "%" + prefix
        self.captures: dict[str, Value] = {}  # values of the function around this one, by name
        self.captured: list[Value] = []
        self.multiples: dict[str, int] = {}  # what divides a variable, by name
        self.streams = False  # whether something is stored past the cache

    def divisor(self, x: Value) -> int:
        """A number that is known to divide an integer; 0 divides only zero."""
        return int(x.name) if x.name.isdigit() else self.multiples.get(x.name, 1)

    def local(self, x: Value) -> Value:
        """A value as this function sees it: one of the function around it arrives through its context."""
        if x.name[0] != "%" or x.name.startswith(self.own):
            return x
        found = self.captures.get(x.name)
        if found is None:
            found = self.captures[x.name] = Value("%" + self.fresh("x"), x.elem, x.lanes, 0)
            self.captured.append(x)
        return found

    def place(self, at: Sequence[Any]) -> int:
        """A number for a position of a node, the same for equal ones."""
        known = self._places.get(id(at))
        if known is None:
            number = self._numbers.setdefault(tuple([i.key for i in at]), len(self._numbers))
            known = self._places[id(at)] = at, number
        return known[1]

    def stack(self, elem: str, count: int) -> Value:
        """Memory for `count` elements in the function's frame."""
        name = "%" + self.fresh("s")
        self.frame.append(f"{name} = alloca [{count} x {elem}], align 64")
        return Value(name, "ptr", 1, 0)

    # Scopes ------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        return len(self.scopes) - 1

    @property
    def scope(self) -> Scope:
        return self.scopes[-1]

    def fresh(self, prefix: str = "") -> str:
        """A new name (without the leading % or @)."""
        self._count += 1
        return f"{self._prefix}{prefix}{self._count}"

    def line(self, text: str) -> None:
        """Write an instruction with an effect into the current scope."""
        self.scopes[-1].lines.append(text)

    def label(self, name: str) -> None:
        """Begin a basic block in the current scope (the one before must have ended with a jump)."""
        scope = self.scopes[-1]
        scope.lines.append(f"{name}:")
        scope.label = name

    def cut(self, values: Sequence[Value]) -> None:
        """End the basic block after these values, if they are computed in the current scope."""
        if all(v.level == self.level for v in values):
            following = self.fresh("cut")
            self.line(f"br label %{following}")
            self.label(following)

    @contextmanager
    def loop(self, start: Value, stop: Value, step: int = 1, carries: Sequence[Value] = ()) -> Iterator[Loop]:
        """`for i in range(start, stop, step)`, run at least once; see `Loop`."""
        loop = Loop(self, start, stop, step, carries)
        yield loop
        loop.close()

    @contextmanager
    def whilst(self, carries: Sequence[Value]) -> Iterator[While]:
        """A loop with a test before each turn; see `While`."""
        loop = While(self, carries)
        yield loop
        loop.close()

    def branch(self, condition: Value, cases: Sequence[Callable[[], Sequence[Value]]]) -> list[Value]:
        """The results of the first case if `condition` (i1) holds, else of the second; only one is run."""
        labels = [self.fresh("then"), self.fresh("else")]
        joined = self.fresh("join")
        written: list[tuple[Scope, Sequence[Value]]] = []
        for label, case in zip(labels, cases, strict=True):
            scope = self.inside(label)
            results = case()
            self.line(f"br label %{joined}")
            self.scopes.pop()
            written.append((scope, results))
        # The jump stands after all that was moved out of the cases.
        self.line(f"br i1 {condition.name}, label %{labels[0]}, label %{labels[1]}")
        for label, (scope, _) in zip(labels, written, strict=True):
            self.line(f"{label}:")
            self.scope.lines.extend(scope.lines)
        self.label(joined)
        return [
            self.here(
                f"phi {a.type} [{a.name}, %{written[0][0].label}], [{b.name}, %{written[1][0].label}]",
                a.elem,
                a.lanes,
            )
            for a, b in zip(written[0][1], written[1][1], strict=True)
        ]

    def inside(self, label: str) -> Scope:
        """Open a scope whose code starts at `label`; close it with `pop`."""
        scope = Scope(label)
        self.scopes.append(scope)
        return scope

    def pop(self) -> Scope:
        """Close the current scope, appending its lines to those of the one around it."""
        scope = self.scopes.pop()
        self.scopes[-1].lines.extend(scope.lines)
        self.scopes[-1].label = scope.label
        return scope

    def behind(self, x: Value, latch: str) -> Value:
        """A value of a loop whose last block is `latch`, after the loop: that of its last turn.

        It gets a new name if it is known what it is made of, which is not there any more.
        """
        name, level = x.name, self.level
        if x.level <= level:
            return x
        if name in self._products or name in self.negated or name in self.roots:
            name = "%" + self.fresh("r")
            self.line(f"{name} = phi {x.type} [{x.name}, %{latch}]")
        return Value(name, x.elem, x.lanes, level)

    # Instructions ---------------------------------------------------------------------------------------

    def pure(self, text: str, elem: str, lanes: int, level: int) -> Value:
        """An instruction without effects, written once, as far out as its operands' `level` allows."""
        scope = self.scopes[level]
        known = scope.known.get(text)
        if known is None:
            self._count += 1
            name = f"{self.own}{self._count}"
            scope.lines.append(f"{name} = {text}")
            known = scope.known[text] = Value(name, elem, lanes, level)
        return known

    def here(self, text: str, elem: str, lanes: int) -> Value:
        """An instruction that must stay in the current scope, written each time."""
        name = "%" + self.fresh()
        self.scopes[-1].lines.append(f"{name} = {text}")
        return Value(name, elem, lanes, len(self.scopes) - 1)

    def splat(self, x: Value, lanes: int) -> Value:
        """A scalar in all of `lanes` lanes."""
        if x.lanes == lanes:
            return x
        assert x.lanes == 1, (x, lanes)
        if x.name[0] != "%":
            return Value(f"splat ({x.elem} {x.name})", x.elem, lanes, 0)
        first = self.pure(
            f"insertelement {type_text(x.elem, lanes)} poison, {x.typed}, i64 0", x.elem, lanes, x.level
        )
        return self.pure(
            f"shufflevector {first.typed}, {first.type} poison, <{lanes} x i32> zeroinitializer",
            x.elem,
            lanes,
            x.level,
        )

    def match(self, *xs: Value) -> list[Value]:
        """The values with equal numbers of lanes."""
        lanes = xs[0].lanes
        for x in xs:
            if x.lanes != lanes:
                break
        else:
            return list(xs)
        lanes = max([x.lanes for x in xs])
        return [x if x.lanes == lanes else self.splat(x, lanes) for x in xs]

    def binary(self, op: str, x: Value, y: Value) -> Value:
        """`op` is the instruction's name: `fadd`, `mul`, `and`, ..."""
        if x.lanes != y.lanes:
            x, y = self.match(x, y)
        level = x.level if x.level > y.level else y.level
        return self.pure(f"{op} {type_text(x.elem, x.lanes)} {x.name}, {y.name}", x.elem, x.lanes, level)

    def _compare(self, op: str, x: Value, y: Value) -> Value:
        if x.lanes != y.lanes:
            x, y = self.match(x, y)
        if x.name[0] != "%" and y.name[0] != "%" and (known := compared(op[5:], x, y)) is not None:
            return known
        level = x.level if x.level > y.level else y.level
        return self.pure(f"{op} {type_text(x.elem, x.lanes)} {x.name}, {y.name}", "i1", x.lanes, level)

    def call(self, function: str, result: str, *xs: Value, suffix: str | None = None) -> Value:
        """A pure function of the module or an intrinsic, lane by lane; `result` is the element type."""
        lanes, level = xs[0].lanes, xs[0].level
        for x in xs:
            if x.lanes != lanes:
                return self.call(function, result, *self.match(*xs), suffix=suffix)
            if x.level > level:
                level = x.level
        key = function, result, xs[0].elem, lanes, suffix
        head = self.module.callees.get(key) or self._callee(key, xs)
        text = ", ".join([f"{type_text(x.elem, lanes)} {x.name}" for x in xs])
        return self.pure(f"{head}({text})", result, lanes, level)

    def _callee(self, key: tuple[str, str, str, int, str | None], xs: Sequence[Value]) -> str:
        """The beginning of a call, of a function that is declared now."""
        function, result, elem, lanes, suffix = key
        if suffix is None:
            suffix = mangle(elem, lanes)
        name = f"{function}.{suffix}" if suffix else function
        kind = type_text(result, lanes)
        self.module.declare(name, kind, [x.type for x in xs])
        head = self.module.callees[key] = f"call {kind} @{name}"
        return head

    # Floating point

    def fadd(self, x: Value, y: Value) -> Value:
        if self.contract:
            product = self._products.get(y.name)
            if product is not None:
                return self.fma(*product, x)
            product = self._products.get(x.name)
            if product is not None:
                return self.fma(*product, y)
        return self.binary("fadd", x, y)

    def fsub(self, x: Value, y: Value) -> Value:
        if self.contract:
            product = self._products.get(y.name)
            if product is not None:
                return self.fma(self.fneg(product[0]), product[1], x)
            product = self._products.get(x.name)
            if product is not None:
                return self.fma(*product, self.fneg(y))
        return self.binary("fsub", x, y)

    def fmul(self, x: Value, y: Value) -> Value:
        if x.name == y.name:
            x, y = self._squared(x, y)
        if x.name in ONES:
            return self.match(x, y)[1]
        if y.name in ONES:
            return self.match(x, y)[0]
        if x.name in MINUS_ONES or y.name in MINUS_ONES:
            return self.fneg(self.match(x, y)[x.name in MINUS_ONES])
        product = self.binary("fmul", x, y)
        if self.contract and product.elem != "half":
            self._products[product.name] = (x, y)
        return product

    def fdiv(self, x: Value, y: Value) -> Value:
        if y.name in ONES:
            return self.match(x, y)[0]
        return self.binary("fdiv", x, y)

    def fneg(self, x: Value) -> Value:
        if x.name in self.negated:
            return self.negated[x.name]
        known = negative(x) if x.name[0] != "%" else None
        if known is not None:
            return known
        result = self.pure(f"fneg {x.typed}", x.elem, x.lanes, x.level)
        self.negated[result.name] = x
        return result

    def _squared(self, x: Value, y: Value) -> tuple[Value, Value]:
        """The factors of a square: of that of a negative, those of the number's."""
        positive = self.negated.get(x.name)
        return (x, y) if positive is None else (positive, positive)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z, rounded once."""
        if x.name == y.name:
            x, y = self._squared(x, y)
        lanes = x.lanes
        head = self.module.callees.get(("llvm.fma", x.elem, x.elem, lanes, None))
        if head is None or y.lanes != lanes or z.lanes != lanes:
            return self.call("llvm.fma", x.elem, x, y, z)
        # The most frequent call of all, written without the detours of others.
        kind = type_text(x.elem, lanes)
        level = x.level if x.level > y.level else y.level
        return self.pure(
            f"{head}({kind} {x.name}, {kind} {y.name}, {kind} {z.name})",
            x.elem,
            lanes,
            level if level > z.level else z.level,
        )

    def fabs(self, x: Value) -> Value:
        x = self.negated.get(x.name, x)
        return self.call("llvm.fabs", x.elem, x)

    def sqrt(self, x: Value) -> Value:
        return self.call("llvm.sqrt", x.elem, x)

    def floor(self, x: Value) -> Value:
        return self.call("llvm.floor", x.elem, x)

    def ceil(self, x: Value) -> Value:
        return self.call("llvm.ceil", x.elem, x)

    def rint(self, x: Value) -> Value:
        """The nearest integer, ties to even."""
        return self.call("llvm.roundeven", x.elem, x)

    def ftrunc(self, x: Value) -> Value:
        return self.call("llvm.trunc", x.elem, x)

    def copysign(self, x: Value, y: Value) -> Value:
        return self.call("llvm.copysign", x.elem, x, y)

    def fcmp(self, predicate: str, x: Value, y: Value) -> Value:
        """A comparison: `oeq`, `une`, `olt`, `ole`, `ogt`, `oge`, `uno`, ... (o: false for NaN; u: true)."""
        return self._compare(f"fcmp {predicate}", x, y)

    def isnan(self, x: Value) -> Value:
        return self.fcmp("uno", x, x)

    def poly(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The polynomial with these coefficients, lowest power first, by Horner's rule with fma."""
        result = self.const(coefficients[-1], x)
        for c in reversed(coefficients[:-1]):
            result = self.fma(result, x, self.const(c, x))
        return result

    # Integers

    def icmp(self, predicate: str, x: Value, y: Value) -> Value:
        """A comparison: `eq`, `ne`, `slt`, `sle`, `ult`, ..."""
        return self._compare(f"icmp {predicate}", x, y)

    def add(self, x: Value, y: Value) -> Value:
        if "0" in (x.name, y.name):
            return self.match(x, y)[x.name == "0"]
        return self.binary("add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.match(x, y)[0] if y.name == "0" else self.binary("sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        if "1" in (x.name, y.name):
            return self.match(x, y)[x.name == "1"]
        return self.binary("mul", x, y)

    def and_(self, x: Value, y: Value) -> Value:
        return self._logical("and", x, y, TRUE, FALSE)

    def or_(self, x: Value, y: Value) -> Value:
        return self._logical("or", x, y, FALSE, TRUE)

    def _logical(
        self, op: str, x: Value, y: Value, neutral: frozenset[str], decisive: frozenset[str]
    ) -> Value:
        """Of a truth that is known nothing is left, or nothing but it."""
        if x.name[0] != "%" or y.name[0] != "%":
            x, y = self.match(x, y)
            if x.name in neutral or y.name in decisive:
                return y
            if y.name in neutral or x.name in decisive:
                return x
        return self.binary(op, x, y)

    def xor(self, x: Value, y: Value) -> Value:
        return self.binary("xor", x, y)

    def shl(self, x: Value, y: Value) -> Value:
        """Shift left; an amount of the type's width or more gives poison, so the caller must exclude it."""
        return self.binary("shl", x, y)

    def lshr(self, x: Value, y: Value) -> Value:
        return self.binary("lshr", x, y)

    def ashr(self, x: Value, y: Value) -> Value:
        return self.binary("ashr", x, y)

    def not_(self, x: Value) -> Value:
        return self.xor(x, self.const(-1, x))

    # All types

    def const(self, value: Any, like: Value) -> Value:
        """A literal of the type and number of lanes of `like`."""
        return constant(value, like.elem, like.lanes)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """x where the condition (i1) holds, else y."""
        if x.name == y.name:
            return x
        lanes = x.lanes
        if y.lanes != lanes or condition.lanes != lanes:
            condition, x, y = self.match(condition, x, y)
            lanes = x.lanes
        if condition.name in TRUE:
            return x
        if condition.name in FALSE:
            return y
        level = max(condition.level, x.level, y.level)
        kind = type_text(x.elem, lanes)
        return self.pure(
            f"select {type_text('i1', lanes)} {condition.name}, {kind} {x.name}, {kind} {y.name}",
            x.elem,
            lanes,
            level,
        )

    def convert(self, op: str, x: Value, elem: str) -> Value:
        """A conversion instruction by name: `bitcast`, `fptosi`, `sitofp`, `zext`, `trunc`, `fpext`, ..."""
        return self.pure(f"{op} {x.typed} to {type_text(elem, x.lanes)}", elem, x.lanes, x.level)

    def bitcast(self, x: Value, elem: str) -> Value:
        return x if x.elem == elem else self.convert("bitcast", x, elem)

    def shuffle(self, x: Value, lanes: Sequence[int]) -> Value:
        """The lanes of `x` in a new order: lane k of the result is lane `lanes[k]`."""
        count, order = len(lanes), tuple(lanes)
        if count == x.lanes and order == tuple(range(count)):
            return x
        if x.lanes == 1:
            return self.splat(x, count)
        if count == 1:
            return self.extract(x, order[0])
        kind = type_text(x.elem, x.lanes)
        return self.pure(
            f"shufflevector {kind} {x.name}, {kind} poison, <{count} x i32> <{shuffle_mask(order)}>",
            x.elem,
            count,
            x.level,
        )

    def mix(self, x: Value, y: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors of equal length: lane k of the result is lane `lanes[k]` of x followed by y.
        Lanes of two vectors of equal length: lane k of the result is lane `lanes[k]` of x followed by y."""
        mask = shuffle_mask(tuple(lanes))
        return self.pure(
            f"shufflevector {x.typed}, {y.typed}, <{len(lanes)} x i32> <{mask}>",
            x.elem,
            len(lanes),
            max(x.level, y.level),
        )

    def extract(self, x: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if x.lanes == 1:
            return x
        return self.pure(f"extractelement {x.typed}, i64 {lane}", x.elem, 1, x.level)

    def concat(self, parts: Sequence[Value]) -> Value:
        """The lanes of all parts, one after the other."""
        parts = list(parts)
        while len(parts) > 1:
            joined = [self._join(*parts[k : k + 2]) for k in range(0, len(parts) - 1, 2)]
            parts = joined + parts[len(joined) * 2 :]
        return parts[0]

    def _join(self, x: Value, y: Value) -> Value:
        level, total = max(x.level, y.level), x.lanes + y.lanes
        if x.lanes == y.lanes == 1:
            first = self.pure(f"insertelement <2 x {x.elem}> poison, {x.typed}, i64 0", x.elem, 2, level)
            return self.pure(f"insertelement {first.typed}, {y.typed}, i64 1", x.elem, 2, level)
        width = max(x.lanes, y.lanes)
        wide = [self._widen(v, width) for v in (x, y)]
        mask = [*range(x.lanes), *range(width, width + y.lanes)]
        text = ", ".join([f"i32 {k}" for k in mask])
        return self.pure(
            f"shufflevector {wide[0].typed}, {wide[1].typed}, <{total} x i32> <{text}>", x.elem, total, level
        )

    def _widen(self, x: Value, width: int) -> Value:
        if x.lanes == width:
            return x
        if x.lanes == 1:
            return self.pure(
                f"insertelement <{width} x {x.elem}> poison, {x.typed}, i64 0", x.elem, width, x.level
            )
        mask = ", ".join(
            [f"i32 {k if k < x.lanes else 'poison'}" if k < x.lanes else "i32 poison" for k in range(width)]
        )
        return self.pure(
            f"shufflevector {x.typed}, {x.type} poison, <{width} x i32> <{mask}>", x.elem, width, x.level
        )

    def text(self) -> str:
        """The lines of the function's body."""
        assert len(self.scopes) == 1
        return "\n".join([*self.frame, *self.scopes[0].lines])


def leave_unless(e: Emitter, condition: Value, label: str) -> None:
    """Leave the program through the block `label` (of its end) unless the condition holds."""
    following = e.fresh("go")
    e.line(f"br i1 {condition.name}, label %{following}, label %{label}")
    e.label(following)


__all__ = [
    "BITS", "FLOATS", "Emitter", "Loop", "Scope", "Value", "While", "constant", "leave_unless",
    "literal_text", "mangle", "type_text", "vector_literal",
]  # fmt: skip
