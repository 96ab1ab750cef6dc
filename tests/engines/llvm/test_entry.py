import contextlib
import gc
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pullback as pb
from pullback._src.base.config import config, enable_x64, num_threads
from pullback._src.core.array import ConcreteArray, wrap
from pullback._src.core.aval import ShapedArray, shaped_array
from pullback._src.core.axis_env import bind_axis
from pullback._src.core.trace import CURRENT, EVAL, EvalTrace
from pullback._src.engines.llvm import cache, entry, jit, layout, runtime
from pullback._src.engines.llvm.executable import Executable

from .modules import add_one, copies


def link(text: str) -> jit.Linked:
    return jit.link(jit.compile_ir(text), runtime.native().symbols)


def executable(
    text: str, arguments: list[ShapedArray], results: list[ShapedArray], **options: Any
) -> Executable:
    return Executable(link(text), arguments, results, **options)


def f32(*shape: int) -> ConcreteArray:
    return wrap(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


def test_objects_are_laid_out_as_expected() -> None:
    assert layout.problem() is None


@pytest.mark.parametrize("release_gil", [False, True])
@pytest.mark.parametrize("arena_bytes", [0, 1, 16384, 16385, 100_000, 10_000_000])
def test_one_array(release_gil: bool, arena_bytes: int) -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval], arena_bytes=arena_bytes, release_gil=release_gil)
    (out,) = run([x])
    assert type(out) is ConcreteArray
    assert out.aval is x.aval
    np.testing.assert_array_equal(out._data, np.arange(1, 9, dtype=np.float32))
    assert out._data.flags.c_contiguous and out._data.flags.owndata and out._data.flags.aligned
    fast = run.entry(container=None)
    assert fast is not None
    np.testing.assert_array_equal(fast(x)._data, np.arange(1, 9, dtype=np.float32))


def test_the_arena_is_aligned_and_writable() -> None:
    text = """
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
    define i32 @program(ptr %frame) {{
      %out = load ptr, ptr %frame
      %place = getelementptr ptr, ptr %frame, i64 1
      %arena = load ptr, ptr %place
      call void @llvm.memset.p0.i64(ptr %arena, i8 -1, i64 {size}, i1 false)
      %address = ptrtoint ptr %arena to i64
      store i64 %address, ptr %out
      ret i32 0
    }}"""
    aval = shaped_array((), np.dtype(np.int64))
    for size in (1, 64, 5000, 16384, 16385, 65535, 65536, 65537, 3_000_001, 9_000_000):
        run = executable(text.format(size=size), [], [aval], arena_bytes=size)
        for _ in range(3):
            assert int(run([])[0]._data) % 64 == 0


@pytest.mark.parametrize("container", [tuple, list, None, lambda leaves: {"a": leaves[0], "b": leaves[1]}])
def test_containers(container: Any) -> None:
    x, y = f32(3), f32(2, 2)
    count = 1 if container is None else 2
    pairs = [(0, 2, 12), (1, 3, 16)][:count]
    run = executable(copies(pairs), [x.aval, y.aval], [x.aval, y.aval][:count])
    fast = run.entry(container=container)
    assert fast is not None
    out = fast(x, y)
    if container is None:
        out = [out]
    elif callable(container) and not isinstance(container, type):
        assert isinstance(out, dict)
        out = list(out.values())
    else:
        assert type(out) is container
    for got, expected in zip(out, [x, y], strict=False):
        np.testing.assert_array_equal(got._data, expected._data)


def test_what_makes_the_output_may_fail() -> None:
    def fail(leaves: list[Any]) -> Any:
        raise ZeroDivisionError("on purpose")

    x = f32(3)
    fast = executable(copies([(0, 1, 12)]), [x.aval], [x.aval]).entry(container=fail)
    assert fast is not None
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        fast(x)


DTYPES = [
    np.bool_, np.int8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64, np.complex64,
    np.complex128, ml_dtypes.bfloat16, [("fry", np.uint32, (2,))],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3), (1, 1, 2, 1, 3, 1, 1)], ids=str)
def test_dtypes_and_shapes(dtype: Any, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    data = np.frombuffer(np.arange(size, dtype=np.uint8).tobytes(), np.uint8).copy()
    value = (
        (data % 2 if dtype == np.bool_ else data).view(dtype).reshape(shape)
        if size
        else np.empty(shape, dtype)
    )
    x = ConcreteArray(value, shaped_array(shape, dtype))
    run = executable(copies([(0, 1, size)]), [x.aval], [x.aval])
    for out in (run([x])[0], run.entry(container=None)(x)):  # type: ignore[misc]
        assert out._data.dtype == dtype
        assert out._data.shape == shape
        assert out._data.tobytes() == value.tobytes()


def test_random_keys() -> None:
    key = pb.random.split(pb.random.key(7), 3)
    run = executable(copies([(0, 1, 24)]), [key.aval], [key.aval])
    (out,) = run([key])
    np.testing.assert_array_equal(pb.random.key_data(out), pb.random.key_data(key))


def test_arguments_that_do_not_match_are_declined() -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval])
    fast = run.entry(container=None)
    assert fast is not None
    weak = ConcreteArray(x._data, shaped_array((8,), x.aval.dtype, True))
    reversed_ = ConcreteArray(x._data[::-1], x.aval)
    lying = ConcreteArray(np.zeros(4, np.float32), x.aval)
    deeper = ConcreteArray(np.zeros((8, 1), np.float32), x.aval)
    empty = ConcreteArray.__new__(ConcreteArray)
    for bad in (
        weak, reversed_, lying, deeper, empty, f32(4), f32(2, 4), None, 1, 1.0, "x", [x], x._data[::-1],
        np.arange(8.0), np.arange(4, dtype=np.float32), x._data.view(np.matrix), np.float32(1),
    ):  # fmt: skip
        assert fast(bad) is NotImplemented
    assert fast() is NotImplemented
    assert fast(x, x) is NotImplemented
    with pytest.raises(TypeError):
        fast(x=x)


def test_numpy_arrays_are_read_where_they_are() -> None:
    x = f32(8)
    fast = executable(add_one(8), [x.aval], [x.aval]).entry(container=None)
    assert fast is not None
    np.testing.assert_array_equal(fast(x._data)._data, x._data + 1)


SCALARS = [
    (np.float32, True, 2.5, "float", 3.5),
    (np.int32, True, 2**31 - 2, "i32", 2**31 - 1),
    (np.int32, True, -(2**31), "i32", -(2**31) + 1),
]


@pytest.mark.parametrize(("dtype", "weak", "value", "type", "expected"), SCALARS)
def test_python_numbers(dtype: Any, weak: bool, value: Any, type: str, expected: Any) -> None:
    aval = shaped_array((), np.dtype(dtype), weak)
    fast = executable(add_one(1, type=type), [aval], [aval]).entry(container=None)
    assert fast is not None
    assert fast(value)._data[()] == expected
    assert fast(np.int16(3)) is NotImplemented
    assert fast(True) is NotImplemented
    strong = shaped_array((), np.dtype(dtype))
    declines = executable(add_one(1, type=type), [strong], [strong]).entry(container=None)
    assert declines is not None
    assert declines(value) is NotImplemented


def test_python_numbers_that_do_not_fit_are_declined() -> None:
    i32, single = shaped_array((), np.dtype(np.int32), True), shaped_array((), np.dtype(np.float32), True)
    fast = executable(copies([(0, 1, 4)]), [i32], [i32]).entry(container=None)
    assert fast is not None
    for value in (2**31, -(2**31) - 1, 2**63, 2**200, -(2**200)):
        assert fast(value) is NotImplemented
    fast = executable(copies([(0, 1, 4)]), [single], [single]).entry(container=None)
    assert fast is not None
    assert fast(1e39) is NotImplemented
    assert np.isposinf(fast(float("inf"))._data) and np.isnan(fast(float("nan"))._data)
    assert np.signbit(fast(-0.0)._data)
    assert fast(1) is NotImplemented


def test_python_bools_and_wide_numbers() -> None:
    flag = shaped_array((), np.dtype(np.bool_))
    fast = executable(copies([(0, 1, 1)]), [flag], [flag]).entry(container=None)
    assert fast is not None
    assert fast(True)._data.tobytes() == b"\1" and fast(False)._data.tobytes() == b"\0"
    assert fast(1) is NotImplemented
    with enable_x64(True):
        for dtype, value in ((np.float64, 0.1), (np.int64, -(2**62))):
            aval = shaped_array((), np.dtype(dtype), True)
            fast = executable(copies([(0, 1, 8)]), [aval], [aval]).entry(container=None)
            assert fast is not None
            assert fast(value)._data[()] == value


def test_arguments_are_made_contiguous_once() -> None:
    data = np.arange(16, dtype=np.float32)[::2]
    x = wrap(data)
    run = executable(add_one(8), [x.aval], [x.aval])
    np.testing.assert_array_equal(run([x])[0]._data, data + 1)
    assert x._data is not data and x._data.flags.c_contiguous
    np.testing.assert_array_equal(x._data, data)


def test_misaligned_arguments_are_copied() -> None:
    data = np.zeros(33, np.uint8)[1:].view(np.float32)
    x = wrap(data)
    assert not data.flags.aligned
    np.testing.assert_array_equal(executable(add_one(8), [x.aval], [x.aval])([x])[0]._data, np.ones(8))


def test_executables_check_their_arguments() -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval])
    with pytest.raises(TypeError, match="takes 1 arguments, got 2"):
        run([x, x])
    with pytest.raises(TypeError, match=r"f32\[8\]"):
        run([f32(4)])
    with pytest.raises(TypeError, match="float"):
        run([1.0])  # type: ignore[list-item]
    weak = ConcreteArray(x._data, shaped_array((8,), x.aval.dtype, True))
    assert run([weak])[0].aval is x.aval  # the type of the program's result


def test_constants_and_bound_inputs() -> None:
    x, y = f32(3), f32(4)
    constant = np.arange(5, dtype=np.float32)
    avals = [x.aval, y.aval]
    text = copies([(0, 3, 12), (1, 4, 16), (2, 5, 20)])
    run = executable(text, avals, [*avals, shaped_array((5,), constant.dtype)], constants=[constant])
    for out in (run([x, y]), run.entry(bound=[x])(y), run.entry(bound=[x, y])()):  # type: ignore[misc]
        for got, expected in zip(out, [x._data, y._data, constant], strict=True):
            np.testing.assert_array_equal(got._data, expected)


def test_guards() -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval])
    fast = run.entry(container=None)
    assert fast is not None

    def works() -> bool:
        return fast(x) is not NotImplemented

    assert works()
    token = CURRENT.set(EvalTrace(eager=True))
    assert not works()
    CURRENT.reset(token)
    assert works()
    token = CURRENT.set(EVAL)
    assert works()
    CURRENT.reset(token)
    with bind_axis("batch", 3):
        assert not works()
    assert works()
    with enable_x64(True):
        assert not works()
        run.renew(fast)
        assert works()
    assert not works()
    run.renew(fast)
    assert works()
    before = config.log_compiles
    config.update("jax_log_compiles", before)
    assert not works()
    run.renew(fast)
    assert works()
    assert run.entry(container=None, guarded=False)(x) is not NotImplemented  # type: ignore[misc]


def test_the_host_callbacks_exception_is_raised() -> None:
    x = f32(3)

    def explain() -> None:
        raise ValueError("from the callback")

    run = executable(copies([], "ret i32 2"), [x.aval], [x.aval, x.aval], on_failure=explain)
    for container in (tuple, list, lambda leaves: leaves):
        with pytest.raises(ValueError, match="from the callback"):
            run.entry(container=container)(x)  # type: ignore[misc]
    for options in ({}, {"on_failure": lambda: None}):
        run = executable(copies([], "ret i32 2"), [x.aval], [x.aval], **options)
        with pytest.raises(RuntimeError):
            run([x])
    run = executable(copies([], "ret i32 1"), [x.aval], [x.aval], arena_bytes=50_000)
    with pytest.raises(KeyboardInterrupt):
        run([x])


def test_the_slow_call_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = f32(3), f32(0, 2)
    constant = np.arange(5, dtype=np.float32)
    avals = [x.aval, y.aval]
    results = [*avals, shaped_array((5,), constant.dtype)]
    text = copies([(0, 3, 12), (1, 4, 0), (2, 5, 20)])
    monkeypatch.setattr(runtime.native(), "problem", "pretended")
    for release_gil in (False, True):
        run = executable(text, avals, results, constants=[constant], arena_bytes=100, release_gil=release_gil)
        assert run.entry() is None
        for got, expected in zip(run([x, y]), [x._data, y._data, constant], strict=True):
            np.testing.assert_array_equal(got._data, expected)
        run = executable(copies([], "ret i32 1"), [], [], release_gil=release_gil)
        with pytest.raises(KeyboardInterrupt):
            run([])
        run = executable(copies([], "ret i32 2"), [], [], release_gil=release_gil)
        with pytest.raises(RuntimeError):
            run([])


def test_long_frames() -> None:
    x = f32(2)
    for count in (entry.MAX_FRAME - 2, entry.MAX_FRAME):
        run = executable(copies([(count - 1, count, 8)]), [x.aval] * count, [x.aval])
        assert (run.entry() is None) == (count == entry.MAX_FRAME)
        (out,) = run([f32(2)] * (count - 1) + [x])
        np.testing.assert_array_equal(out._data, x._data)


def test_calls_leak_nothing() -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval])
    makers = [run.entry(container=c) for c in (None, tuple, list, lambda leaves: leaves)]
    failing = executable(copies([], "ret i32 2"), [x.aval], [x.aval]).entry()
    references = [x, x._data, x.aval, x.aval.dtype, EVAL, NotImplemented]

    def calls(count: int) -> None:
        for fast in makers:
            assert fast is not None
            for _ in range(count):
                fast(x)
                fast(1)
        for _ in range(count // 10):
            with contextlib.suppress(RuntimeError):
                failing(x)  # type: ignore[misc]

    calls(10)
    gc.collect()
    before, blocks = [sys.getrefcount(r) for r in references], sys.getallocatedblocks()
    calls(20_000)
    gc.collect()
    assert [sys.getrefcount(r) for r in references] == before
    assert abs(sys.getallocatedblocks() - blocks) < 100


def test_entries_are_freed_with_their_code() -> None:
    x = f32(8)
    run = executable(add_one(8), [x.aval], [x.aval])
    fast = run.entry(container=None)
    del run
    gc.collect()
    assert fast is not None
    np.testing.assert_array_equal(fast(x)._data, x._data + 1)  # the entry keeps the code


def test_results_outlive_their_program_and_are_freed() -> None:
    n = 1 << 20
    x = wrap(np.zeros(n, np.float32))
    run = executable(add_one(n), [x.aval], [x.aval])
    before = runtime.memory_statistics()["used"]
    out = run([x])[0]
    assert runtime.memory_statistics()["used"] - before >= 4 * n
    del run
    gc.collect()
    view = out._data[5:]
    del out
    assert (view == 1).all()
    del view
    assert runtime.memory_statistics()["used"] == before


def test_the_thread_count_comes_from_the_configuration() -> None:
    assert runtime.thread_count() >= 1
    with num_threads(3):
        assert runtime.thread_count() == 3
    for bad in (0, -1, "many", 1.5, True):
        with pytest.raises(ValueError, match="num_threads"):
            num_threads(bad)


def test_the_runtime_compiles_to_code_without_addresses() -> None:
    assert cache.key_of(runtime._text(), 2) == cache.key_of(runtime._text(), 2)
    assert "inttoptr i64 1" not in runtime._text()
