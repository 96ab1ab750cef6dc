"""`jit`: trace once for each combination of argument types, then run the compiled program."""

from __future__ import annotations

import inspect
import operator
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from ..base import pytree
from ..base.config import settings, trace_context
from ..control.call import executable, jit_p
from ..core.array import Array, ConcreteArray
from ..core.aval import ShapedArray
from ..core.axis_env import bind_axis, bound_axes
from ..core.engine import donating_executable, logger
from ..core.trace import CURRENT, EVAL, Tracer
from .cache_misses import explain
from .common import check_callable, name_of, to_array, wraps
from .stage import StagedFunction, abstractify, argument_names, shape_struct, stage_function
from .stages import Lowered


class _Traced:
    """A traced function, and the native function that calls its compiled program."""

    __slots__ = ("staged", "donated", "_compiled", "_entry", "_direct", "_direct_tried")

    def __init__(self, staged: StagedFunction, donated: tuple[int, ...]) -> None:
        self.staged = staged
        self.donated = donated  # numbers of the open program's inputs whose memory may be used
        self._compiled: Any = None
        self._entry: Callable[..., Any] | None = None
        self._direct: Callable[..., Any] | None = None
        self._direct_tried = False

    def executable(self) -> Any:
        """The compiled program."""
        if self.donated:
            return donating_executable(self.staged.open_program, self.donated)
        return executable(self.staged.open_program)

    def native_entry(self) -> Callable[..., Any] | None:
        """A function of the leaves of the arguments that returns what the traced function returns.

        It returns NotImplemented, having done nothing, if a leaf is not of the type that was traced, if a
        transformation is going on, or if the configuration is not the one of the last call of this method.
        Where an engine's executables cannot make such a function (no method `entry`) it is None.
        """
        compiled = self.executable()
        make = getattr(compiled, "entry", None)
        if make is None:
            return None
        if compiled is not self._compiled:  # the first call, or the engine has changed
            self._compiled = compiled
            self._entry = make(bound=self.staged.consts, container=self._container())
            self._direct = None
            self._direct_tried = False
        elif self._entry is not None:
            compiled.renew(self._entry)
        return self._entry

    def direct_entry(self, args: tuple[Any, ...], leaves: Sequence[Any]) -> Callable[..., Any] | None:
        """The same for the positional arguments as they are (they, and their leaves, are as given now).

        To be called after `native_entry`. None if the arguments contain other containers than tuples, lists
        and plain dicts.
        """
        if len(leaves) == len(args) and all(map(operator.is_, leaves, args)):
            return self._entry
        if not self._direct_tried:
            self._direct_tried = True
            self._direct = self._compiled.entry(
                bound=self.staged.consts, container=self._container(), sample=args, leaves=leaves
            )
        elif self._direct is not None:
            self._compiled.renew(self._direct)
        return self._direct

    def _container(self) -> Callable[[list[Any]], Any] | None:
        """What makes the output of the list of its leaves; None if the leaf is the output."""
        tree = self.staged.out_tree
        if tree is None:
            return None
        numbers = list(range(len(self.staged.program.outvars)))
        sample = pytree.unflatten(tree, numbers)
        for kind in (tuple, list):
            if type(sample) is kind and list(sample) == numbers:
                return kind
        return self.staged.unflatten


class JitFunction:
    """A function that is traced and compiled on first use with each combination of argument types."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: frozenset[str],
        inline: bool,
        donate_argnums: tuple[int, ...] = (),
        donate_argnames: frozenset[str] = frozenset(),
    ) -> None:
        wraps(fun, "")(self)
        self.__wrapped__ = fun
        self._fun = fun
        self._static_argnums = static_argnums
        self._static_argnames = static_argnames
        self._inline = inline
        self._donate_argnums = donate_argnums
        self._donate_argnames = donate_argnames
        self._cache: dict[Any, _Traced] = {}
        self._forgets = False  # whether a traced program could not be kept
        # Native functions for calls like the last ones: the last call's with positional arguments only
        # (`_Traced.direct_entry`), and the last one's for each structure of arguments, to be called with
        # their leaves (`_Traced.native_entry`). They find out by themselves whether a call is such a call.
        self._entry: Callable[..., Any] | None = None
        self._entries: dict[Any, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        return f"<jit of {name_of(self._fun)}, {len(self._cache)} traced>"

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else _BoundMethod(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        entry = self._entry
        if entry is not None and not kwargs:
            out = entry(*args)
            if out is not NotImplemented:
                return out
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if settings().disable_jit:
            return self._fun(*args, **kwargs)
        dynamic, static = self._split(args, kwargs)
        leaves, tree = pytree.flatten(dynamic)
        structure = (tree, static) if static else tree
        entry = self._entries.get(structure)
        if entry is not None:
            out = entry(*leaves)
            if out is not NotImplemented:
                return out
        values = [v if isinstance(v, Array) else self._argument(v, tree, i) for i, v in enumerate(leaves)]
        key = (tree, tuple([v.aval for v in values]), static, trace_context(), tuple(bound_axes().items()))
        traced = self._cache.get(key)
        known = traced is not None
        if traced is None:
            if settings().explain_cache_misses:
                explain(self._fun, key, self._cache, self._forgets)
            staged = self._stage(tree, [v.aval for v in values], static)
            bound = len(staged.consts)
            traced = _Traced(staged, tuple([bound + k for k in self._donated(tree, static)]))
            # Constants that are tracers end with their transformation.
            if not any(isinstance(c, Tracer) for c in traced.staged.consts):
                self._cache[key] = traced
            else:
                self._forgets = True
        staged = traced.staged
        if CURRENT.get() is EVAL:
            for v in (*staged.consts, *values):
                if type(v) is not ConcreteArray:
                    break
            else:
                if known:  # what is called once is not worth an entry
                    entry = traced.native_entry()
                    if entry is not None:
                        self._entries[structure] = entry
                        if not static and not kwargs:
                            self._entry = traced.direct_entry(args, leaves) or self._entry
                return staged.unflatten(traced.executable()([*staged.consts, *values]))
        outs = jit_p.bind(
            *staged.consts, *values, program=staged.open_program, name=name_of(self._fun), inline=self._inline
        )
        return staged.unflatten(outs)

    def _argument(self, value: Any, tree: Any, index: int) -> Array:
        try:
            return to_array(value, "jit")
        except TypeError:
            names = argument_names(self._fun, tree)
            raise TypeError(
                f"jit({name_of(self._fun)}): the argument {names[index]} is {value!r} of type "
                f"{type(value).__name__}, which is no array, number or pytree of those. Mark it static "
                "(static_argnums or static_argnames) if the program depends on it."
            ) from None

    def _split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The arguments that are traced, and the static ones: their number, places, kinds and values."""
        if not self._static_argnums and not self._static_argnames:
            return (args, kwargs), ()
        count = len(args)
        positions = set()
        for n in self._static_argnums:
            if -count <= n < count:
                positions.add(n % count)
        static: list[tuple[int | str, Any, Any]] = [(i, _kind(args[i]), args[i]) for i in sorted(positions)]
        static += [(k, _kind(v), v) for k, v in sorted(kwargs.items()) if k in self._static_argnames]
        for where, _, value in static:
            try:
                hash(value)
            except TypeError:
                shown = f"argument {where}" if isinstance(where, int) else f"the argument {where!r}"
                raise ValueError(
                    f"jit({name_of(self._fun)}): {shown} is static, so it must be hashable, but it is "
                    f"{value!r} of type {type(value).__name__}. Pass a tuple instead of a list, a frozen "
                    "dataclass instead of a dict; arrays must not be static."
                ) from None
        dynamic_args = tuple([a for i, a in enumerate(args) if i not in positions])
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in self._static_argnames}
        return (dynamic_args, dynamic_kwargs), (count, *static)

    def _stage(self, tree: Any, avals: Sequence[ShapedArray], static: Any) -> StagedFunction:
        def call(dynamic: Any) -> Any:
            args, kwargs = dynamic
            if static:
                args, kwargs = _merge(args, kwargs, static)
            return self._fun(*args, **kwargs)

        started = time.perf_counter()
        in_tree = pytree.canonical_structure(tree)
        staged = stage_function(self._fun, in_tree, avals, call, purpose="jit")
        if settings().log_compiles:
            types = zip(argument_names(self._fun, in_tree), avals, strict=True)
            logger.warning(
                "Traced %s(%s) in %.1f ms: %d equations",
                name_of(self._fun),
                ", ".join([f"{name}: {aval.str_short()}" for name, aval in types]),
                1e3 * (time.perf_counter() - started),
                len(staged.program.eqns),
            )
        return staged

    def _donated(self, tree: Any, static: Any) -> list[int]:
        """The numbers of the leaves of the donated arguments."""
        if not self._donate_argnums and not self._donate_argnames:
            return []
        args, kwargs = tree.children()
        given = args.children()
        fixed = [where for where, _, _ in static[1:] if isinstance(where, int)] if static else []
        count = len(given) + len(fixed)
        positions = {n % count for n in self._donate_argnums if -count <= n < count}
        donated: list[int] = []
        start = 0
        for position, subtree in zip([n for n in range(count) if n not in fixed], given, strict=True):
            if position in positions:
                donated.extend(range(start, start + subtree.num_leaves))
            start += subtree.num_leaves
        for name, subtree in zip(kwargs.entries(), kwargs.children(), strict=True):
            if name in self._donate_argnames:
                donated.extend(range(start, start + subtree.num_leaves))
            start += subtree.num_leaves
        return donated

    def stage(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], axis_env: Iterable[tuple[Any, int]] = ()
    ) -> StagedFunction:
        """Trace at these arguments' types (arrays, or anything with shape and dtype), without a cache."""
        return self._stage_split(*self._split(args, kwargs), axis_env)

    def _stage_split(self, dynamic: Any, static: Any, axis_env: Iterable[tuple[Any, int]]) -> StagedFunction:
        leaves, tree = pytree.flatten(dynamic)
        avals = [abstractify(v) for v in leaves]
        if not axis_env:
            return self._stage(tree, avals, static)
        with ExitStack() as stack:
            for name, size in axis_env:
                stack.enter_context(bind_axis(name, size))
            return self._stage(tree, avals, static)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace for arguments of these types, without running; see `Lowered`."""
        dynamic, static = self._split(args, kwargs)
        staged = self._stage_split(dynamic, static, ())
        donates = self._donate_argnums or self._donate_argnames
        return Lowered(staged, self._donated(pytree.flatten(dynamic)[1], static) if donates else ())

    trace = lower

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shapes and dtypes of the results, computing nothing."""
        staged = self.stage(args, kwargs)
        return staged.unflatten([shape_struct(a) for a in staged.program.out_avals])

    def clear_cache(self) -> None:
        """Forget all traced programs."""
        self._entry = None
        self._entries.clear()
        self._cache.clear()

    def _cache_size(self) -> int:
        return len(self._cache)


class _BoundMethod:
    """A jitted method bound to its instance, which is passed as the first argument."""

    __slots__ = ("_function", "__self__")

    def __init__(self, function: JitFunction, instance: Any) -> None:
        self._function = function
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _kind(value: Any) -> Any:
    """What tells static values apart that are equal: 1, True and 1.0; 0.0 and -0.0."""
    kind = type(value)
    if kind is float or kind is complex:
        return repr(value)
    return tuple(map(_kind, value)) if kind is tuple else kind


def _merge(args: tuple[Any, ...], kwargs: dict[str, Any], static: Any) -> tuple[list[Any], dict[str, Any]]:
    count, *entries = static
    by_position = {where: value for where, _, value in entries if isinstance(where, int)}
    rest = iter(args)
    merged = [by_position[i] if i in by_position else next(rest) for i in range(count)]
    return merged, {**kwargs, **{where: value for where, _, value in entries if isinstance(where, str)}}


def _ints(name: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    try:
        return (
            (operator.index(value),)
            if not isinstance(value, (tuple, list, set))
            else tuple(map(operator.index, value))
        )
    except TypeError:
        raise TypeError(f"jit: {name} must be an int or a sequence of ints, got {value!r}") from None


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        names = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        names = (value,)
    if not all(isinstance(n, str) for n in names):
        raise TypeError(f"jit: {name} must be a string or a sequence of strings, got {value!r}")
    return names


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    device: Any = None,
    backend: str | None = None,
    inline: bool = False,
    in_shardings: Any = None,
    out_shardings: Any = None,
) -> Any:
    """Compile `fun` with the default engine; usable as a decorator with or without arguments.

    Args:
        fun: a function of pytrees of arrays. It is run once, on tracers, for each combination of the
            arguments' structures, shapes and dtypes.
        static_argnums: positions of arguments on whose value the program may depend: hashable, passed as
            they are.
        static_argnames: the same by name. An argument given by name or number is static either way.
        donate_argnums: positions of arguments that the caller does not need any more: the program may use
            their memory for results. An array whose memory was used is *deleted*: reading it is an error.
            Memory to which something else refers (NumPy arrays, other arrays) is never used.
        donate_argnames: the same by name.
        inline: when the function is called inside another that is being traced, record its operations there.
        keep_unused, device, backend, in_shardings, out_shardings: accepted for compatibility; no effect on
            one CPU.

    Returns:
        A function with the same signature, with the methods `lower`, `eval_shape`, `clear_cache`.
        `lower(*args).compile()` shows how it is compiled: see `stages`.

    Raises:
        TypeError: an argument is no pytree of arrays.
        ValueError: a static argument is not hashable, or an argument is static and donated.
    """
    if fun is None:
        options = {k: v for k, v in locals().items() if k != "fun"}
        return lambda f: jit(f, **options)
    check_callable("jit", fun)
    numbers = _ints("static_argnums", static_argnums)
    names = _strings("static_argnames", static_argnames)
    numbers, names = _resolve(fun, "static", numbers, names)
    given = _ints("donate_argnums", donate_argnums), _strings("donate_argnames", donate_argnames)
    donated = _resolve(fun, "donate", *given)
    both = sorted({*map(str, numbers), *names} & {*map(str, donated[0]), *donated[1]})
    if both:
        raise ValueError(
            f"jit({name_of(fun)}): arguments cannot be both static and donated, but these are: "
            f"{', '.join(both)}. Static values are no arrays, so they have no memory to give away."
        )
    return JitFunction(fun, numbers, frozenset(names), inline, donated[0], frozenset(donated[1]))


def _resolve(
    fun: Callable[..., Any], option: str, numbers: tuple[int, ...], names: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Complete numbers by names and names by numbers from the function's signature, and check them."""
    if not numbers and not names:
        return numbers, names
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return numbers, names
    positional = [
        p.name
        for p in parameters
        if p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    variadic = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
    keywords = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters)
    count = len(positional)
    for number in numbers:
        if not variadic and not -count <= number < count:
            raise ValueError(
                f"jit({name_of(fun)}): {option}_argnums={number} is out of range: the function has {count} "
                f"positional parameters ({', '.join(positional) or 'none'})"
            )
    for name in names:
        if name not in {p.name for p in parameters} and not keywords:
            raise ValueError(
                f"jit({name_of(fun)}): {option}_argnames names {name!r}, but the parameters are "
                f"{', '.join(p.name for p in parameters) or 'none'}"
            )
    if variadic:
        return numbers, names
    all_numbers = {n % count for n in numbers} | {positional.index(n) for n in names if n in positional}
    all_names = set(names) | {positional[n] for n in all_numbers}
    return tuple(sorted(all_numbers)), tuple(sorted(all_names))


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Any, int]] | None = None,
    return_shape: bool = False,
    static_argnames: str | Sequence[str] = (),
) -> Callable[..., Any]:
    """A function that returns the program recorded from `fun` at its arguments' types.

    Args:
        fun: a function of pytrees of arrays.
        static_argnums: positions of arguments that are passed to `fun` as they are.
        axis_env: pairs of a name and a size of axes to bind.
        return_shape: whether to return the output's shapes and dtypes too.
        static_argnames: names of arguments that are passed to `fun` as they are.
    """
    traced = jit(fun, static_argnums=static_argnums, static_argnames=static_argnames)

    def make(*args: Any, **kwargs: Any) -> Any:
        staged = traced.stage(args, kwargs, axis_env=axis_env or ())
        if return_shape:
            return staged.program, staged.unflatten([shape_struct(a) for a in staged.program.out_avals])
        return staged.program

    make.__name__ = f"make_jaxpr({name_of(fun)})"
    return make
