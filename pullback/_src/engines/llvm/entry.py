"""Calls of compiled programs: one native function under all of them.

An *entry* is a builtin function (METH_FASTCALL) whose `self` is a `Signature`: a table of numbers that says
what arguments the program takes, what results it has, and where it is. The function looks at the arguments
without running Python, allocates the results, calls the program and returns the results as `ConcreteArray`s.
If an argument is not what the table says, or tracing would be in order, it returns NotImplemented and has
done nothing: Python then goes the long way.

The function reads fields of objects at fixed offsets (`layout.py` makes sure that they are there).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ...base.config import changes, settings
from ...core import dtypes
from ...core.array import ConcreteArray
from ...core.aval import ShapedArray
from . import runtime

# What an entry returns: an array, a tuple, a list, a function of a list, or a tree.
LEAF, TUPLE, LIST, POST, TREE = range(5)

# The table's places. Those of an argument: type, scalar kind, dtype, number of dimensions, dimensions.
# Those of a result: type, dtype, number of dimensions, dimensions, bytes, the argument whose memory it is in
# (or -1). Those of an argument that is given away: its number, and how many references its memory then has.
(
    PROGRAM, ARGUMENT_COUNT, FRAME_LENGTH, TEMPLATE, FIRST_ARGUMENT, ARGUMENTS, RESULT_COUNT, FIRST_RESULT,
    RESULTS, ARENA_BYTES, KIND, POST_FUNCTION, RELEASE_GIL, ON_FAILURE, SETTINGS, CHANGES, THREADS,
    POSITIONAL_COUNT, STRUCTURE, CALLS_LEFT, ON_HOT, GIVEN_COUNT, GIVEN, TABLE_LENGTH,
) = range(24)  # fmt: skip

MAX_FRAME: Final = 4096
"""Programs with more inputs, constants and results in all than this are called in the slow way."""


class Signature(np.ndarray[Any, Any]):
    """The table behind an entry; `keep` holds what it points to."""

    keep: Any


def make_entry(
    program: int,
    arguments: Sequence[ShapedArray],
    results: Sequence[ShapedArray],
    *,
    bound: Sequence[ConcreteArray] = (),
    constants: Sequence[np.ndarray[Any, Any]] = (),
    arena_bytes: int = 0,
    kind: int = LIST,
    post: Callable[[list[ConcreteArray]], Any] | None = None,
    sample_arguments: tuple[Any, ...] | None = None,
    sample_result: Any = None,
    release_gil: bool = False,
    on_failure: Callable[[], Any] | None = None,
    guarded: bool = False,
    hot_after: int = 0,
    on_hot: Callable[[], Any] | None = None,
    given: Sequence[int] = (),
    aliases: Mapping[int, int] | None = None,
    keep: Any = None,
) -> Callable[..., Any]:
    """A function of `ConcreteArray`s of exactly these types, as fast as a call from Python can be.

    Args:
        program: the address of `i32 program(ptr frame)`. The frame holds pointers to: bound inputs,
            arguments, constants, results, arena.
        arguments: the types of the function's arguments.
        results: the types of its results.
        bound: leading inputs of the program that are always these.
        constants: C-contiguous arrays that the program reads.
        arena_bytes: how much scratch memory the program needs.
        kind: LEAF (there is one result and the function returns it), TUPLE, LIST, POST: the function returns
            `post(list of results)`, or TREE: it returns containers like those of `sample_result`.
        sample_arguments: if given, the function takes containers like these, whose leaves are the arguments.
            Containers are tuples, lists, dicts with strings as keys, and None.
        sample_result: nested containers with the numbers of the results as leaves.
        release_gil: whether other Python threads may run while the program does.
        on_failure: called when the program returns 2; raises the exception of its host callback.
        guarded: return NotImplemented unless evaluation is the current trace, no axis is bound and the
            configuration is the one that was current at the last `stamp(entry)`. Then Python numbers and
            NumPy arrays are arguments too.
        hot_after: after so many calls `on_hot` is called, once; 0: never.
        on_hot: must not raise.
        given: the arguments whose memory the program writes over. The function returns NotImplemented if
            anything else refers to the memory of one; otherwise they become deleted arrays.
        aliases: the results that are in the memory of such an argument, with its number. They have no place
            in the frame.
        keep: whatever must live as long as the entry (the program's code).

    The function returns NotImplemented if there are more or fewer arguments, or one is not a `ConcreteArray`
    of the expected type (the identical object) around C-contiguous aligned memory.

    Raises:
        ValueError: the frame would be longer than MAX_FRAME, or a sample has other containers.
    """
    native = runtime.native()
    aliases = aliases or {}
    length = len(bound) + len(arguments) + len(constants) + len(results) - len(aliases) + 1
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} pointers is longer than {MAX_FRAME}")
    kept: list[Any] = [keep, post, on_failure, arguments, results]

    def table(words: Iterable[int]) -> int:
        block = array("q", words)
        kept.append(block)
        return block.buffer_info()[0]

    def code(samples: Sequence[Any], count: int) -> int:
        words: list[int] = []
        leaves: list[Any] = []
        for sample in samples:
            _encode(sample, words, leaves, kept)
        if len(leaves) != count:
            raise ValueError(f"a sample has {len(leaves)} leaves instead of {count}")
        return table(words)

    template = [0] * length
    for place, value in enumerate(bound):
        data = np.require(value._data, requirements=("C", "A"))
        kept.append(data)
        template[place] = data.ctypes.data
    first_constant = len(bound) + len(arguments)
    for place, data in enumerate(constants, first_constant):
        if not (data.flags.c_contiguous and data.flags.aligned):
            raise ValueError("a constant of a program must be C-contiguous and aligned")
        kept.append(data)
        template[place] = data.ctypes.data

    # The dimensions of all arguments and results are in one table.
    dims = table([n for a in (*arguments, *results) for n in a.shape])
    rows: list[int] = []
    for a in arguments:
        kinds = (_scalar_kind(a), _array_dtype(a)) if guarded else (0, 0)
        rows += id(a), *kinds, a.ndim, dims
        dims += 8 * a.ndim
    result_rows: list[int] = []
    for k, a in enumerate(results):
        result_rows += id(a), id(a.dtype), a.ndim, dims, a.size * a.dtype.itemsize, aliases.get(k, -1)
        dims += 8 * a.ndim
    signature = np.zeros(TABLE_LENGTH, np.int64).view(Signature)
    signature[PROGRAM] = program
    signature[ARGUMENT_COUNT] = len(arguments)
    signature[FRAME_LENGTH] = length
    signature[TEMPLATE] = table(template)
    signature[FIRST_ARGUMENT] = len(bound)
    signature[ARGUMENTS] = table(rows)
    signature[RESULT_COUNT] = len(results)
    signature[FIRST_RESULT] = first_constant + len(constants)
    signature[RESULTS] = table(result_rows)
    if given:
        signature[GIVEN_COUNT] = len(given)
        times = Counter(aliases.values())
        signature[GIVEN] = table(word for k in given for word in (k, 2 + times[k]))
    signature[ARENA_BYTES] = arena_bytes
    signature[KIND] = kind
    signature[POST_FUNCTION] = id(post) if post is not None else 0
    signature[POSITIONAL_COUNT] = len(arguments)
    if kind == TREE:
        signature[POST_FUNCTION] = code([sample_result], len(results))
    if sample_arguments is not None:
        signature[POSITIONAL_COUNT] = len(sample_arguments)
        signature[STRUCTURE] = code(sample_arguments, len(arguments))
    signature[RELEASE_GIL] = release_gil
    signature[ON_FAILURE] = id(on_failure) if on_failure is not None else 0
    signature[THREADS] = runtime.thread_count()
    signature.keep = kept
    if on_hot is not None:
        watch_calls(signature, hot_after, on_hot)
    entry: Callable[..., Any] = native.new_function(signature)
    if guarded:
        stamp(entry)
    return entry


def watch_calls(signature: Signature, calls: int, on_hot: Callable[[], Any]) -> None:
    """Have `on_hot` called, once, after so many calls."""
    signature.keep.append(on_hot)
    signature[ON_HOT] = id(on_hot)
    signature[CALLS_LEFT] = calls


def stamp(entry: Callable[..., Any]) -> None:
    """Let a guarded entry run under the present configuration."""
    signature = entry.__self__  # type: ignore[attr-defined]  # of a builtin
    signature[SETTINGS] = id(settings())
    signature[CHANGES] = changes[0]
    signature[THREADS] = runtime.thread_count()


def use_threads(entry: Callable[..., Any]) -> None:
    """Let an entry use as many threads as the configuration says."""
    entry.__self__[THREADS] = runtime.thread_count()  # type: ignore[attr-defined]  # of a builtin


MAX_DEPTH: Final = 50
"""How deeply containers may be nested that native code takes apart or builds."""


def _encode(tree: Any, words: list[int], leaves: list[Any], kept: list[Any], depth: int = 0) -> None:
    """Append a tree's structure as `@flatten` in `trees_ir.py` reads it, its leaves, and its keys."""
    kind = type(tree)
    if kind is tuple or kind is list:
        words += [1 if kind is tuple else 2, len(tree)]
        items = [(None, child) for child in tree]
    elif kind is dict:
        if not all(type(key) is str for key in tree):
            raise ValueError("native code takes apart dicts only if their keys are strings")
        words += [3, len(tree)]
        items = list(tree.items())
    else:
        words.append(4 if tree is None else 0)
        if tree is not None:
            leaves.append(tree)
        return
    if depth == MAX_DEPTH:
        raise ValueError(f"containers are nested more than {MAX_DEPTH} deep")
    for key, child in items:
        if key is not None:
            kept.append(key)
            words.append(id(key))
        _encode(child, words, leaves, kept, depth + 1)


def leaves_in_order(tree: Any) -> list[Any] | None:
    """The leaves of a tree as native code sees them; None if it cannot take it apart."""
    leaves: list[Any] = []
    try:
        _encode(tree, [], leaves, [])
    except ValueError:
        return None
    return leaves


def in_flattening_order(tree: Any) -> Any:
    """The tree with the keys of all dicts in the order in which pytrees are flattened: sorted."""
    if type(tree) is dict:
        if not all(type(key) is str for key in tree):
            return tree
        return {key: in_flattening_order(tree[key]) for key in sorted(tree)}
    if type(tree) is tuple or type(tree) is list:
        return type(tree)(map(in_flattening_order, tree))
    return tree


def _scalar_kind(aval: ShapedArray) -> int:
    """Which Python numbers are arguments of this type: 1, 2 float as f32, f64; 3, 4 int; 5 bool."""
    if aval.ndim:
        return 0
    if aval.dtype == np.bool_:
        return 5
    for python_type, by_size in ((float, {4: 1, 8: 2}), (int, {4: 3, 8: 4})):
        if aval.weak_type and aval.dtype == dtypes.python_scalar_dtype(python_type):
            return by_size.get(aval.dtype.itemsize, 0)
    return 0


def _array_dtype(aval: ShapedArray) -> int:
    """The dtype of NumPy arrays that are arguments of this type as they are, or 0."""
    plain = aval.dtype.kind in "biufc" and aval.dtype.isbuiltin == 1 and not aval.weak_type
    return id(aval.dtype) if plain and aval.dtype == dtypes.canonicalize_dtype(aval.dtype) else 0
