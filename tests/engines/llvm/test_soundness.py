"""Programs give the same bits for any number of threads and callers, and stay within their buffers."""

from __future__ import annotations

import ctypes
import mmap
import threading
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64, num_threads
from pullback._src.core import engine as registry
from pullback._src.engines.llvm import parallel, runtime
from pullback._src.engines.llvm.engine import Compilation

from .agreement import draw, same


def _softmax(x: Any) -> Any:
    y = jnp.exp(x - x.max(1, keepdims=True))
    return y / y.sum(1, keepdims=True)


def _loop(x: Any) -> Any:
    def body(c: Any, row: Any) -> Any:
        c = jnp.tanh(c * 0.5 + row)
        return c, c[::-1].sum()

    return lax.scan(body, x[0], x)


def _branches(x: Any) -> Any:
    return lax.switch(
        jnp.int32(x.size) % 3, [lambda x: x * 2, lambda x: jnp.sin(x) @ x.T @ x, lambda x: x[::-1]], x
    )


def _while(x: Any) -> Any:
    return lax.while_loop(
        lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1].at[s[0]].add(jnp.cos(s[1][-1]))), (jnp.int32(0), x)
    )


def _indices(x: Any) -> Any:
    n = x.shape[0]
    i = (jnp.arange(2 * n) * 7) % n
    return (
        x[i].sum(0),
        jnp.zeros_like(x).at[i].add(jnp.sin(x)[i // 2]),
        lax.dynamic_slice(x, (i[3], 1), (n // 2, 2)),
    )


def _triangles(x: Any) -> Any:
    a = jnp.tanh(x @ x.T) * 0.1 + 2 * jnp.eye(x.shape[0], dtype=x.dtype)
    b = jnp.sin(x)
    return [
        lax.linalg.triangular_solve(a, b, left_side=True, lower=lower, transpose_a=turned)
        for lower in (True, False)
        for turned in (True, False)
    ]


PROGRAMS: dict[str, Any] = {
    "elementwise": lambda x: jnp.sin(x) * x + 1,
    "sums": lambda x: (x.sum(), x.sum(0), x.sum(1), (x * x).mean(), x.max(0), jnp.argmax(x, 1)),
    "softmax": _softmax,
    "gradient": pb.grad(lambda x: (jnp.tanh(x @ x.T) * jnp.log1p(x * x).sum()).sum()),
    "products": lambda x: (x @ x.T, x.T @ x[:, :3], jnp.einsum("ij,ik->jk", x, x), x[:, 0] @ x),
    "cumulative": lambda x: (jnp.cumsum(x, 0), jnp.cumsum(x, 1), jnp.cumprod(x * 0.1, 1)),
    "moved": lambda x: (x.T, jnp.pad(x, 3)[::2], jnp.concatenate([x, x.T.reshape(x.shape)], 1), x[::-1, 1:]),
    "indices": _indices,
    "halves": lambda x: (x.astype(jnp.bfloat16) + 1, x.astype(jnp.float16).sum(0), (x > 0).any(1)),
    "complex": lambda x: (lax.complex(x, x[::-1]) * 1j).sum(0),
    "sort": lambda x: jnp.sort(x, 0),
    "triangles": _triangles,
    "loop": _loop,
    "branches": _branches,
    "while": _while,
}  # fmt: skip


def _compiled(f: Any, *args: Any) -> tuple[Any, list[Any], Any]:
    """The compilation, the executable's arguments, and the program."""
    arrays = [jnp.asarray(a) for a in args]
    staged = pb.jit(f).stage(tuple(arrays), {})
    return Compilation(staged.open_program), [*staged.consts, *arrays], staged.open_program


def _bits(results: Any) -> list[bytes]:
    return [np.asarray(r._data).tobytes() for r in results]


@pytest.mark.parametrize("shape", [(1000, 300), (37, 65)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_do_not_depend_on_threads(name: str, shape: tuple[int, ...], monkeypatch: Any) -> None:
    """Nor on the run. Loops are cut into many chunks, so that several threads have something to do."""
    monkeypatch.setattr(parallel, "CHUNK", 2000.0)
    compilation, values, _ = _compiled(PROGRAMS[name], draw(*shape))
    executable = compilation.finish()
    expected = None
    for threads in (1, 2, 3, 8, 8, 3, 1):
        with num_threads(threads):
            found = _bits(executable(values))
        expected = expected or found
        assert found == expected, threads


def test_callers_at_once(monkeypatch: Any) -> None:
    """Python threads call, and compile, different programs and the same one, on different arguments."""
    monkeypatch.setattr(parallel, "CHUNK", 2000.0)
    functions = [pb.jit(PROGRAMS[name]) for name in PROGRAMS]
    arguments = [draw(67, 129, seed=k) for k in range(4)]
    failures: list[str] = []
    results: dict[tuple[int, int], list[bytes]] = {}
    lock = threading.Lock()

    def call(number: int) -> None:
        for turn in range(3):
            for k in range(len(functions)):
                which = (k + number * 3) % len(functions)
                argument = (number + turn) % len(arguments)
                leaves = pb.tree_util.tree_leaves(functions[which](jnp.asarray(arguments[argument])))
                found = _bits(leaves)
                with lock:
                    if results.setdefault((which, argument), found) != found:
                        failures.append(f"program {which}, argument {argument}")

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Guards --------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """Memory of `size` bytes that ends right before (or begins right after) a forbidden page."""

    def __init__(self, size: int, end: bool) -> None:
        page = mmap.PAGESIZE
        pages = max(-(-size // page), 1)
        self.region = mmap.mmap(-1, (pages + 2) * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.region))
        for guard in (start, start + (pages + 1) * page):
            if _libc.mprotect(guard, page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.offset = page + (pages * page - size if end else 0)
        self.address = start + self.offset

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer(self.region, np.uint8, size, self.offset).view(dtype).reshape(shape)


def _run_guarded(
    compilation: Compilation, executable: Any, values: Any, end: bool
) -> list[np.ndarray[Any, Any]]:
    """The results of a program all of whose memory is guarded."""
    arrays = [np.ascontiguousarray(v._data) for v in values] + [
        np.ascontiguousarray(c) for c in executable._constants
    ]
    inputs = [Guarded(a.nbytes, end) for a in arrays]
    for memory, a in zip(inputs, arrays, strict=True):
        memory.array(a.shape, a.dtype)[...] = a
    results = [Guarded(a.size * a.dtype.itemsize, end) for a in executable.results]
    # The arena is aligned at both ends.
    arena = Guarded(-(-compilation.arena_bytes // 64) * 64, end)
    blocks = [*inputs, *results, arena]
    frame = (ctypes.c_void_p * len(blocks))(*[b.address for b in blocks])
    runtime.native().set_threads(2)
    status = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(executable._address)(ctypes.addressof(frame))
    assert status == 0
    for memory, a in zip(inputs, arrays, strict=True):
        assert memory.array(a.shape, a.dtype).tobytes() == a.tobytes(), "an argument was written over"
    return [g.array(a.shape, a.dtype).copy() for g, a in zip(results, executable.results, strict=True)]


SHAPES = [(1, 1), (2, 3), (7, 5), (17, 33), (33, 7), (64, 64), (129, 3), (3, 1000)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_beyond_buffers(name: str, monkeypatch: Any) -> None:
    """Arguments, constants, results and the arena lie against pages that cannot be accessed."""
    monkeypatch.setattr(parallel, "CHUNK", 500.0)
    for shape in SHAPES:
        if name == "indices" and min(shape) < 3:
            continue
        compilation, values, program = _compiled(PROGRAMS[name], draw(*shape))
        executable = compilation.finish()
        reference = registry.get("numpy").compile(program)(values)
        for end in (True, False):
            for found, expected in zip(
                _run_guarded(compilation, executable, values, end), reference, strict=True
            ):
                same(found, expected._data)


# Places that only run time knows ----------------------------------------------------------------------------


def _extremes(dtype: Any, n: int) -> np.ndarray[Any, Any]:
    """The ends of the dtype's range, of an axis of size n, and what is next to them."""
    info = np.iinfo(dtype)
    wanted = [info.min, info.min + 1, -n - 1, -n, -1, 0, 1, n - 1, n, n + 1, info.max // 2 + 1]
    wanted += [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, info.max - 1, info.max]
    return np.array([k for k in wanted if info.min <= k <= info.max], dtype)


def _gathered(x: Any, i: Any) -> Any:
    return x.at[i].get(mode="clip"), x.at[i].get(mode="fill"), x[:, 1].at[i].get(mode="fill"), x[i // 2]


def _scattered(x: Any, i: Any) -> Any:
    ones = jnp.ones((i.shape[0], x.shape[1]), x.dtype)
    return (
        x.at[i].add(ones, mode="drop"),
        x.at[i].set(ones * 2, mode="clip"),
        x[:, 0].at[i].max(ones[:, 0], mode="drop"),
        x.at[:, i].mul(2.0, mode="drop"),
    )


def _windows(x: Any, i: Any) -> Any:
    size = (max(x.shape[0] // 2, 1), 2)
    return [
        *[lax.dynamic_slice(x, (k, j), size) for k, j in zip(i, i[::-1], strict=True)],
        *[lax.dynamic_update_slice(x, x[: size[0], :2] * 3, (k, j)) for k, j in zip(i, i[::-1], strict=True)],
    ]


def _turns(x: Any, i: Any) -> Any:
    def turn(c: Any, k: Any) -> Any:
        row = lax.dynamic_index_in_dim(c, k, 0, keepdims=False)
        return lax.dynamic_update_index_in_dim(c, row + 1, k, 0), row

    return lax.scan(turn, x, i)


def _chosen(x: Any, i: Any) -> Any:
    return lax.map(lambda k: lax.switch(k.astype(jnp.int32), [jnp.sum, jnp.max, jnp.min], x), i)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("function", [_gathered, _scattered, _windows, _turns, _chosen])
def test_extreme_places(function: Any, dtype: str) -> None:
    """Nothing beyond buffers is touched, and the results are the NumPy engine's."""
    with enable_x64(True):
        for shape in ((1, 2), (5, 3), (100, 70)):
            compilation, values, program = _compiled(function, draw(*shape), _extremes(dtype, shape[0]))
            executable = compilation.finish()
            reference = registry.get("numpy").compile(program)(values)
            for end in (True, False):
                for found, expected in zip(
                    _run_guarded(compilation, executable, values, end), reference, strict=True
                ):
                    same(found, expected._data)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_indices_beyond_thirty_two_bits(dtype: str) -> None:
    """Of an array of which only a part is computed."""
    with enable_x64(True):
        for size in (2**31 + 10, 2**33, 2**40 + 7):
            for start in (2**31 - 3, size - 20):
                stop = min(start + 20, size)
                found = pb.jit(lambda: lax.iota(dtype, size)[start:stop])()  # noqa: B023
                np.testing.assert_array_equal(np.asarray(found), np.arange(start, stop).astype(dtype))
                part = pb.jit(lambda k: lax.dynamic_slice(lax.iota(dtype, size), (k,), (7,)))(start)  # noqa: B023
                np.testing.assert_array_equal(np.asarray(part), np.arange(start, start + 7).astype(dtype))
