"""Configuration flags: process-wide defaults, per-thread overlays, JAX's names.

A flag has two levels. The *default* is shared by every thread and is changed by ``config.update``. The
*overlay* is private to a thread (or asyncio task) and is changed by using the flag as a context manager::

    config.update('jax_enable_x64', True)      # everywhere, from now on
    with enable_x64(False):                    # here, until the end of the block
        assert not config.x64

The two levels are kept apart, not copied, so a thread that starts later, or is already running, sees an
update of the default unless it sits inside an overlay of its own.

Flags marked *traced* change the program that tracing yields. Caches of traced or compiled programs include
``trace_context()`` in their keys: an interned object, one for each combination of values of the traced flags.
"""

from __future__ import annotations

import difflib
import functools
import operator
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, TypeVar

__all__ = [
    "Config",
    "Flag",
    "FlagContext",
    "Settings",
    "TraceContext",
    "background_compilation",
    "changes",
    "check_tracer_leaks",
    "checking_leaks",
    "compilation_cache_dir",
    "config",
    "debug_infs",
    "debug_nans",
    "default_device",
    "default_matmul_precision",
    "default_prng_impl",
    "disable_jit",
    "enable_checks",
    "enable_compilation_cache",
    "enable_custom_prng",
    "enable_x64",
    "engine",
    "explain_cache_misses",
    "log_compiles",
    "num_threads",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "platform_name",
    "platforms",
    "settings",
    "softmax_custom_jvp",
    "threefry_partitionable",
    "trace_context",
    "traceback_filtering",
]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_TRUE_WORDS: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE_WORDS: Final = frozenset({"0", "false", "f", "no", "n", "off"})
_PREFIXES: Final = ("jax_", "pullback_")
_ENVIRONMENT_PREFIX: Final = "PULLBACK_"


class _Missing:
    """The type of the mark for 'no value given', distinct from None, which several flags accept."""


_MISSING: Final = _Missing()

# Every flag by its canonical name, in the order of definition, and every accepted spelling of each.
_flags: dict[str, Flag[Any]] = {}
_spellings: dict[str, Flag[Any]] = {}
# Guards changes of defaults and the table of interned trace contexts; reads take no lock.
_lock = threading.RLock()


class TraceContext:
    """The values of the traced flags; equal values are the same object, so hashing costs next to nothing."""

    __slots__ = ("values",)

    def __init__(self, values: tuple[tuple[str, object], ...]) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"TraceContext({', '.join(f'{name}={value!r}' for name, value in self.values)})"

    def __reduce__(self) -> tuple[Callable[..., TraceContext], tuple[tuple[tuple[str, object], ...]]]:
        # Identity is equality here, so a copy or an unpickled context must come out of the table too.
        return _intern, (self.values,)


_interned: dict[tuple[tuple[str, object], ...], TraceContext] = {}


def _intern(values: tuple[tuple[str, object], ...]) -> TraceContext:
    with _lock:
        context = _interned.get(values)
        if context is None:
            context = _interned[values] = TraceContext(values)
        return context


class _FlagValues:
    """The flags' names and types, for the type checker."""

    enable_x64: bool
    numpy_dtype_promotion: str
    numpy_rank_promotion: str
    default_matmul_precision: str | None
    threefry_partitionable: bool
    default_prng_impl: str
    enable_custom_prng: bool
    softmax_custom_jvp: bool
    debug_nans: bool
    debug_infs: bool
    disable_jit: bool
    check_tracer_leaks: bool
    enable_checks: bool
    log_compiles: bool
    explain_cache_misses: bool
    background_compilation: bool
    enable_compilation_cache: bool
    compilation_cache_dir: str | None
    engine: str
    num_threads: int | None
    traceback_filtering: str
    platform_name: str | None
    platforms: str | None
    default_device: Any


class Settings(_FlagValues):
    """The value of every flag in one overlay (or in none), as plain attributes that are only read.

    There is one instance for each set of overriding values, however often it is entered. So entering an
    overlay is one look-up in ``children``, and a new default can be written to all instances it concerns.

    Attributes:
      overrides: the values that the overlay sets, sorted by name; all others are defaults.
      trace_context: the values of the traced flags.
    """

    def __init__(self, overrides: tuple[tuple[str, object], ...]) -> None:
        self.overrides = overrides
        self.trace_context: TraceContext
        self._children: dict[tuple[str, object], Settings] = {}
        overridden = dict(overrides)
        for name, flag in _flags.items():
            setattr(self, name, overridden.get(name, flag.default))
        self._refresh()

    def _refresh(self) -> None:
        self.trace_context = _intern(
            tuple((f.name, getattr(self, f.name)) for f in _flags.values() if f.traced)
        )

    def _set_default(self, flag: Flag[Any]) -> None:
        if all(name != flag.name for name, _ in self.overrides):
            setattr(self, flag.name, flag.default)
            self._refresh()

    def _overlay(self, name: str, value: object) -> Settings:
        """These settings with one flag overridden."""
        child = self._children.get((name, value))
        if child is None:
            merged = {**dict(self.overrides), name: value}.items()
            overrides = tuple(sorted(merged, key=operator.itemgetter(0)))
            with _lock:
                child = _all_settings.get(overrides)
                if child is None:
                    child = _all_settings[overrides] = Settings(overrides)
                self._children[name, value] = child
        return child


changes: Final = array("q", [0])
"""Counts changes of defaults, at a fixed address: compiled code compares it (and the settings' identity)."""

_defaults = Settings(())
_all_settings: dict[tuple[tuple[str, object], ...], Settings] = {(): _defaults}
_current: ContextVar[Settings] = ContextVar("pullback_settings", default=_defaults)

settings: Final[Callable[[], Settings]] = _current.get
"""The settings in force in this thread: ``settings().enable_x64`` is the cheapest way to read a flag."""


def trace_context() -> TraceContext:
    """The part of the configuration that tracing depends on, as a hashable key for caches."""
    return settings().trace_context


class FlagContext:
    """Sets one flag in the current thread for the duration of a ``with`` block or of a decorated function.

    Re-entrant; entering it binds no name (``as`` gives None), as with JAX's context managers.
    """

    __slots__ = ("_entered", "_flag", "_value")

    def __init__(self, flag: Flag[Any], value: object) -> None:
        self._flag = flag
        self._value = value
        self._entered: list[Token[Settings]] = []

    def __enter__(self) -> None:
        self._entered.append(_current.set(settings()._overlay(self._flag.name, self._value)))

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _current.reset(self._entered.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Use as a decorator: the flag has the value during each call of ``function``."""
        flag, value = self._flag, self._value

        @functools.wraps(function)
        def with_flag(*args: P.args, **kwargs: P.kwargs) -> R:
            # A fresh context for each call: calls may run in several threads at once.
            with FlagContext(flag, value):
                return function(*args, **kwargs)

        return with_flag


class Flag(Generic[T]):
    """One configuration flag; calling it gives the context manager that sets it in this thread.

    Attributes:
      name: the canonical name, without prefix.
      help: one sentence for users.
      traced: whether the value changes the programs that tracing yields.
      default: the value outside every overlay.
    """

    __slots__ = ("_check", "_read", "_when_omitted", "default", "help", "name", "traced")

    def __init__(
        self, name: str, default: T, check: Callable[[str, object], T], *, help: str, traced: bool,
        aliases: Iterable[str], when_omitted: T | _Missing,
    ) -> None:  # fmt: skip
        self.name = name
        self.help = help
        self.traced = traced
        self.default: T = default
        self._read: Callable[[Settings], T] = operator.attrgetter(name)
        self._check = check
        self._when_omitted = when_omitted
        _flags[name] = self
        for spelling in (name, *aliases):
            _spellings[spelling] = self
            for prefix in _PREFIXES:
                _spellings[prefix + spelling] = self
        for instance in _all_settings.values():
            instance._set_default(self)

    def get(self) -> T:
        """The value in force here: the innermost overlay's, else the default."""
        return self._read(settings())

    @property
    def value(self) -> T:
        """The value in force here: the innermost overlay's, else the default."""
        return self._read(settings())

    def set_default(self, value: object) -> None:
        """Change the value for every thread that is in no overlay of this flag."""
        checked = self._check(self.name, value)
        with _lock:
            self.default = checked
            for instance in _all_settings.values():
                instance._set_default(self)
            changes[0] += 1

    def __call__(self, value: object = _MISSING) -> FlagContext:
        """A context manager (and decorator) under which this thread sees ``value``."""
        if value is _MISSING:
            if isinstance(self._when_omitted, _Missing):
                raise TypeError(
                    f"{self.name}() needs the value to set, for example "
                    f"`with {self.name}({self.default!r}): ...`."
                )
            value = self._when_omitted
        return FlagContext(self, self._check(self.name, value))

    def __bool__(self) -> bool:
        # `if enable_x64:` would always be true; the slip is common enough to be worth an error.
        raise TypeError(f"The flag {self.name} has no truth value itself; read `{self.name}.value`.")

    def __repr__(self) -> str:
        return f"Flag({self.name}={self.value!r})"


def _describe(value: object) -> str:
    return f"{value!r} of type {type(value).__name__}"


def _check_bool(name: str, value: object) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE_WORDS:
            return True
        if word in _FALSE_WORDS:
            return False
    elif type(value).__name__ in ("bool", "int", "bool_") and value in (0, 1):  # NumPy's booleans included
        return bool(value)
    raise ValueError(f"The flag {name} takes True or False, but got {_describe(value)}.")


def _check_optional_str(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"The flag {name} takes a string or None, but got {_describe(value)}.")


def _check_anything(name: str, value: object) -> Any:
    return value


def _choice(*choices: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(
            f"The flag {name} takes one of {', '.join(map(repr, choices))}, but got {_describe(value)}."
        )

    return check


def _optional_choice(*choices: str) -> Callable[[str, object], str | None]:
    check_choice = _choice(*choices)

    def check(name: str, value: object) -> str | None:
        return None if value is None else check_choice(name, value)

    return check


def _bool_flag(
    name: str, default: bool, help: str, *, traced: bool = False, aliases: Iterable[str] = ()
) -> Flag[bool]:
    return Flag(name, default, _check_bool, help=help, traced=traced, aliases=aliases, when_omitted=True)


def _choice_flag(
    name: str, default: str, choices: tuple[str, ...], help: str, *, traced: bool = False
) -> Flag[str]:
    return Flag(name, default, _choice(*choices), help=help, traced=traced, aliases=(), when_omitted=_MISSING)


def _check_count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        count = int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"The flag {name} takes a positive integer or None, but got {_describe(value)}.")
    return count


def _str_flag(name: str, help: str) -> Flag[str | None]:
    return Flag(name, None, _check_optional_str, help=help, traced=False, aliases=(), when_omitted=_MISSING)


MATMUL_PRECISIONS: Final = (
    "default", "high", "highest", "bfloat16", "tensorfloat32", "float32",
    "ANY_F8_ANY_F8_F32", "ANY_F8_ANY_F8_F32_FAST_ACCUM", "ANY_F8_ANY_F8_ANY", "ANY_F8_ANY_F8_ANY_FAST_ACCUM",
    "F16_F16_F16", "F16_F16_F32", "BF16_BF16_BF16", "BF16_BF16_F32", "BF16_BF16_F32_X3", "BF16_BF16_F32_X6",
    "BF16_BF16_F32_X9", "TF32_TF32_F32", "TF32_TF32_F32_X3", "F32_F32_F32", "F64_F64_F64",
)  # fmt: skip
"""The names that ``default_matmul_precision`` and the ``precision`` arguments of products accept."""

enable_x64 = _bool_flag(
    "enable_x64",
    False,
    "Keep 64-bit dtypes instead of narrowing them to 32 bits.",
    traced=True,
    aliases=("x64",),
)
numpy_dtype_promotion = _choice_flag(
    "numpy_dtype_promotion", "standard", ("standard", "strict"),
    "Whether operands of unlike dtypes are promoted ('standard') or refused ('strict').", traced=True,
)  # fmt: skip
numpy_rank_promotion = _choice_flag(
    "numpy_rank_promotion", "allow", ("allow", "warn", "raise"),
    "What happens when operands of unlike rank meet in a broadcast.", traced=True,
)  # fmt: skip
default_matmul_precision: Flag[str | None] = Flag(
    "default_matmul_precision", None, _optional_choice(*MATMUL_PRECISIONS),
    help="The precision of matrix products and convolutions that name none; None leaves it to the engine.",
    traced=True, aliases=(), when_omitted=_MISSING,
)  # fmt: skip
threefry_partitionable = _bool_flag(
    "threefry_partitionable",
    False,
    "Lay out random bits so that parts of an array are independent (the default of JAX 0.5 and later).",
    traced=True,
)
default_prng_impl = _choice_flag(
    "default_prng_impl", "threefry2x32", ("threefry2x32", "rbg", "unsafe_rbg"),
    "The generator behind keys that name none.", traced=True,
)  # fmt: skip
enable_custom_prng = _bool_flag(
    "enable_custom_prng", False, "Let random.PRNGKey return typed keys instead of uint32 arrays.", traced=True
)
softmax_custom_jvp = _bool_flag(
    "softmax_custom_jvp", True, "Differentiate softmax by its closed formula.", traced=True
)
debug_nans = _bool_flag("debug_nans", False, "Raise an error where an operation yields a NaN.")
debug_infs = _bool_flag("debug_infs", False, "Raise an error where an operation yields an infinity.")
disable_jit = _bool_flag(
    "disable_jit", False, "Run jitted functions and control flow operation by operation."
)
check_tracer_leaks = _bool_flag(
    "check_tracer_leaks", False, "Raise an error when a tracer outlives its trace."
)
enable_checks = _bool_flag("enable_checks", False, "Verify every program between passes (slow).")
log_compiles = _bool_flag("log_compiles", False, "Log every compilation at the warning level.")
explain_cache_misses = _bool_flag("explain_cache_misses", False, "Log why jit traces a function anew.")
background_compilation = _bool_flag(
    "background_compilation", True,
    "Compile quickly first, and with more effort, in a background thread, what is called often.",
)  # fmt: skip
enable_compilation_cache = _bool_flag("enable_compilation_cache", True, "Keep compiled programs on disk.")
compilation_cache_dir = _str_flag(
    "compilation_cache_dir", "The folder of compiled programs; None is the user's cache folder."
)
engine = _choice_flag(
    "engine", "llvm", ("llvm", "numpy"),
    "What runs compiled programs on the CPU: native code made with LLVM, or NumPy.",
)  # fmt: skip
num_threads: Flag[int | None] = Flag(
    "num_threads", None, _check_count,
    help="How many threads a compiled program uses; None is the number of CPUs that the process may use.",
    traced=False, aliases=(), when_omitted=_MISSING,
)  # fmt: skip
traceback_filtering = _choice_flag(
    "traceback_filtering", "auto", ("off", "tracebackhide", "remove_frames", "quiet_remove_frames", "auto"),
    "How the library's own frames are left out of the tracebacks that users see.",
)  # fmt: skip
platform_name = _str_flag("platform_name", "The platform to run on, like 'cpu'. Prefer `platforms`.")
platforms = _str_flag("platforms", "The platforms to start, separated by commas, in the order of preference.")
default_device: Flag[Any] = Flag(
    "default_device", None, _check_anything, help="The device of arrays and computations that name none.",
    traced=False, aliases=(), when_omitted=_MISSING,
)  # fmt: skip

checking_leaks: Callable[[], FlagContext] = functools.partial(check_tracer_leaks, True)
"""``with checking_leaks(): ...`` is ``with check_tracer_leaks(True): ...``."""


def _find(name: str) -> Flag[Any]:
    flag = _spellings.get(name)
    if flag is not None:
        return flag
    bare = name
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    # Suggest in the style of the name that was given: with its prefix, if it had one.
    given_prefix = name[: len(name) - len(bare)]
    close = difflib.get_close_matches(bare, _flags, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(given_prefix + match) for match in close)}?" if close else ""
    raise AttributeError(
        f"There is no configuration flag {name!r}.{hint} The flags are: {', '.join(sorted(_flags))}.",
        name=name, obj=None,
    )  # fmt: skip


class Config(_FlagValues):
    """All flags in one place: ``config.x64``, ``config.jax_enable_x64``, ``config.update(name, value)``.

    Every flag can be read as an attribute under its name, with the prefix ``jax_`` or ``pullback_`` or none.
    Attributes are read-only: a change goes through ``update`` (all threads) or a context manager (this one).
    """

    x64: bool
    jax_enable_x64: bool

    def update(self, name: str, value: object) -> None:
        """Set the flag ``name`` for all threads.

        Raises:
          AttributeError: no flag has this name; the message names the closest ones.
          ValueError: the flag does not take this value; the message says which it takes.
        """
        _find(name).set_default(value)

    def read(self, name: str) -> Any:
        """The value of the flag ``name`` in force here."""
        return _find(name).value

    @property
    def values(self) -> Mapping[str, Any]:
        """The value in force here of every flag, by JAX's names."""
        return {f"jax_{name}": flag.value for name, flag in _flags.items()}

    def trace_context(self) -> TraceContext:
        """The part of the configuration that tracing depends on, as a hashable key for caches."""
        return settings().trace_context

    def __getattr__(self, name: str) -> Any:
        # Reached only by names that are no flag: the properties below catch those.
        if name.startswith("__"):
            raise AttributeError(name)
        return _find(name).value

    def __setattr__(self, name: str, value: object) -> None:
        _find(name)
        raise AttributeError(f"Flags are not assigned to: use config.update({name!r}, {value!r}).")

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *_spellings})

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={flag.value!r}' for name, flag in _flags.items())})"


def _property(flag: Flag[T]) -> property:
    read_settings = flag._read

    def read(_: Config) -> T:
        return read_settings(settings())

    return property(read, doc=flag.help)


def _read_environment(environment: Mapping[str, str]) -> None:
    """Take defaults from ``PULLBACK_<NAME>``; the word 'none' stands for None where a flag accepts None."""
    for name, flag in _flags.items():
        text = environment.get(_ENVIRONMENT_PREFIX + name.upper())
        if text is None:
            continue
        try:
            flag.set_default(None if flag.default is None and text.lower() in ("", "none") else text)
        except ValueError as error:
            raise ValueError(f"Environment variable {_ENVIRONMENT_PREFIX}{name.upper()}: {error}") from None


for _spelling, _flag in _spellings.items():
    setattr(Config, _spelling, _property(_flag))
_read_environment(os.environ)

config: Final = Config()
"""The one configuration of the process."""
