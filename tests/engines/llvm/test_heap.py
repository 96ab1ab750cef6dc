import ctypes
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from pullback._src.engines.llvm import runtime

MIB = 1 << 20


class Heap:
    def __init__(self) -> None:
        native = runtime.native()
        addresses = native.symbols
        self.take = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(addresses["pb_arena_take"])
        self.give = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(addresses["pb_arena_give"])


@pytest.fixture
def heap() -> Iterator[Heap]:
    runtime.release_memory()
    yield Heap()
    runtime.set_memory_limit(runtime._memory() // 8)
    runtime.release_memory()


SIZES = [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 73728, 73729, 131072, 131073, MIB, MIB + 1, 5 * MIB + 3]


@pytest.mark.parametrize("size", SIZES)
def test_blocks_are_large_enough_aligned_and_reused(heap: Heap, size: int) -> None:
    blocks = [heap.take(size) for _ in range(3)]
    for number, block in enumerate(blocks):
        assert block % 64 == 0
        ctypes.memset(block, number + 1, size)
    for number, block in enumerate(blocks):
        assert set(ctypes.string_at(block, size)) <= {number + 1}
        heap.give(block, size)
    if size >= 65536:
        again = [heap.take(size) for _ in range(3)]
        assert sorted(again) == sorted(blocks)
        for block in again:
            heap.give(block, size)


def test_sizes_waste_at_most_an_eighth(heap: Heap) -> None:
    rng = np.random.default_rng(0)
    for size in [65536, *rng.integers(65536, 64 * MIB, 200).tolist()]:
        before = runtime.memory_statistics()["used"]
        block = heap.take(size)
        given = runtime.memory_statistics()["used"] - before
        heap.give(block, size)
        assert size <= given <= size * 9 / 8
        runtime.release_memory()


def test_what_is_kept_is_bounded(heap: Heap) -> None:
    runtime.set_memory_limit(4 * MIB)
    blocks = [(heap.take(size), size) for size in (MIB, MIB, MIB, MIB, MIB, 2 * MIB, 8 * MIB)]
    for block, size in blocks:
        heap.give(block, size)
        assert runtime.memory_statistics()["kept"] <= 4 * MIB
    assert runtime.memory_statistics()["kept"] == 4 * MIB
    recent = heap.take(2 * MIB)  # the size that was asked for last has survived
    assert runtime.memory_statistics()["kept"] == 2 * MIB
    heap.give(recent, 2 * MIB)
    runtime.set_memory_limit(0)
    assert runtime.memory_statistics()["kept"] == 0


def test_statistics(heap: Heap) -> None:
    runtime.memory_statistics(reset_peak=True)
    start = runtime.memory_statistics()
    assert start["peak"] == start["used"]
    block = heap.take(MIB)
    heap.give(block, MIB)
    block = heap.take(2 * MIB)
    now = runtime.memory_statistics()
    assert now["used"] - start["used"] == now["peak"] - start["used"] == 2 * MIB
    assert now["kept"] == MIB
    heap.give(block, 2 * MIB)
    assert runtime.memory_statistics()["used"] == start["used"]


def test_impossible_sizes_give_nothing(heap: Heap) -> None:
    for size in (1 << 46, (1 << 62) + 1, -1):
        assert heap.take(size) is None


def test_threads_share_the_heap(heap: Heap) -> None:
    failures = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        held: list[tuple[int, int]] = []
        for size in rng.integers(60_000, 200_000, 400).tolist():
            block = heap.take(size)
            ctypes.c_uint32.from_address(block + size - 4).value = seed
            held.append((block, size))
            if len(held) > 5:
                block, size = held.pop(0)
                if ctypes.c_uint32.from_address(block + size - 4).value != seed:
                    failures.append(seed)
                heap.give(block, size)
        for block, size in held:
            heap.give(block, size)

    before = runtime.memory_statistics()["used"]
    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not failures
    assert runtime.memory_statistics()["used"] == before
