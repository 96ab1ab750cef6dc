"""Images: what they do is what LLVM's linker makes of the same objects, and nothing damaged gets through."""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from collections.abc import Sequence

import pytest

from pullback._src.engines.llvm import image, jit

pytestmark = pytest.mark.skipif(
    jit.host()[0].split("-")[0] != "x86_64" or sys.platform != "linux", reason="objects are no ELF for x86-64"
)

# Calls within a part, into another part, and out of the program; constants, addresses of functions of this
# part and of the other one, a switch, and a function of the C library that nobody names.
FIRST = """
@table = private constant [4 x i32] [i32 3, i32 5, i32 7, i32 11], align 16
declare i32 @other(i32, ptr)
declare i32 @helper(i32)
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @far()
define i32 @near(i32 %k) {
  %place = getelementptr i32, ptr @table, i32 %k
  %value = load i32, ptr %place
  %result = call i32 @helper(i32 %value)
  ret i32 %result
}
define i32 @program(ptr %frame) {
  %room = alloca i32
  %copied = call ptr @memcpy(ptr %room, ptr %frame, i64 4)
  %k = load i32, ptr %room
  %a = call i32 @near(i32 %k)
  %b = call i32 @other(i32 %k, ptr @near)
  %far = call ptr @far()
  %c = call i32 %far(i32 %k, ptr @near)
  %two = add i32 %a, %b
  %three = mul i32 %two, %c
  ret i32 %three
}
"""
SECOND = """
@table = private constant [2 x double] [double 1.5, double 2.5], align 64
define ptr @far() {
  ret ptr @other
}
define i32 @other(i32 %k, ptr %function) {
  switch i32 %k, label %rest [
    i32 0, label %zero
    i32 1, label %one
    i32 2, label %two
    i32 3, label %three
    i32 4, label %four
  ]
zero:
  ret i32 100
one:
  %place = getelementptr double, ptr @table, i64 1
  %number = load double, ptr %place
  %whole = fptosi double %number to i32
  ret i32 %whole
two:
  %m = call i32 %function(i32 %k)
  ret i32 %m
three:
  %n = call i32 %function(i32 1)
  %o = add i32 %n, 1
  ret i32 %o
four:
  ret i32 3
rest:
  ret i32 -1
}
"""
PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
HELPER = PROTOTYPE(lambda x: 2 * x + 1)
SYMBOLS = {"helper": ctypes.cast(HELPER, ctypes.c_void_p).value or 0}


def objects(opt: int = 0) -> list[bytes]:
    return [jit.compile_ir(text, opt=opt) for text in (FIRST, SECOND)]


def built(opt: int = 0) -> bytes:
    found = image.made(objects(opt))
    assert found is not None
    return found


def values(code: jit.Linked) -> list[int]:
    run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(code.address("program"))
    return [run(ctypes.addressof(ctypes.c_int(k))) for k in range(4)]


def by_llvm(parts: Sequence[bytes]) -> bytes:
    """The parts as `jit.link` gets them if they have no image."""
    return jit._SEVERAL + b"".join([len(p).to_bytes(8, "little") + p for p in parts])


@pytest.mark.parametrize("opt", [0, 1, 2])
def test_an_image_does_what_the_linked_objects_do(opt: int) -> None:
    expected = [(7 + 100) * 100, (11 + 2) * 2, (15 + 15) * 15, (23 + 12) * 12]
    assert values(jit.link(by_llvm(objects(opt)), SYMBOLS)) == expected
    assert values(jit.link(built(opt), SYMBOLS)) == expected


def test_parts_are_put_together_as_an_image() -> None:
    whole = jit.together(objects())
    assert image.is_image(whole)
    assert whole == built()
    assert jit.code_size(whole) >= sum(jit.code_size(part) for part in objects())


def test_code_cannot_be_written_and_constants_cannot_be_run() -> None:
    code = jit.link(built(), SYMBOLS)
    address = code.address("program")
    with open("/proc/self/maps") as file:
        ranges = [line.split()[:2] for line in file]
    bounds = [[int(number, 16) for number in place.split("-")] for place, _ in ranges]
    (own,) = [k for k, (start, end) in enumerate(bounds) if start <= address < end]
    assert ranges[own][1] == "r-xp"
    assert bounds[own + 1][0] == bounds[own][1]
    assert ranges[own + 1][1] == "r--p"


def test_missing_functions_are_errors() -> None:
    with pytest.raises(jit.CompileError, match="helper"):
        jit.link(built(), {})
    with pytest.raises(jit.CompileError, match="nothing"):
        jit.link(built(), SYMBOLS, ("nothing",))


@pytest.mark.parametrize(
    "text",
    [
        "@count = global i32 1\ndefine ptr @program(ptr %frame) {\n  ret ptr @count\n}",
        "@n = internal global i32 0\ndefine void @program(ptr %x) {\n  store i32 1, ptr @n\n  ret void\n}",
        "define weak i32 @program(ptr %frame) {\n  ret i32 0\n}",
        "@t = thread_local global i32 1\ndefine ptr @program(ptr %frame) {\n  ret ptr @t\n}",
    ],
)
def test_other_objects_have_no_image(text: str) -> None:
    obj = jit.compile_ir(text)
    assert image.made([obj]) is None
    assert jit.together([obj]) == obj


def test_functions_of_one_name_have_no_image() -> None:
    assert image.made([objects()[0]] * 2) is None


def test_damaged_objects_have_no_image_or_one_whose_places_are_in_it() -> None:
    parts = objects()
    rng = random.Random(0)
    made = 0
    for trial in range(4000):
        data = bytearray(parts[trial % 2])
        if trial % 10 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.choice((1, 1, 2, 5))):
                data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        both = [bytes(data), parts[1]] if trial % 2 == 0 else [parts[0], bytes(data)]
        found = image.made(both)
        if found is not None:
            made += 1
            table = image._table(found)  # raises if a place is outside
            assert table.content + table.code + table.size - table.constants == len(found)
    assert made > 100  # most damage is in the instructions


def test_damaged_images_are_refused_or_have_their_places_in_them() -> None:
    whole = built()
    start = image._table(whole).content
    rng = random.Random(1)
    refused = 0
    for trial in range(4000):
        data = bytearray(whole)
        if trial % 10 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            place = rng.randrange(len(image._MAGIC), start)
            data[place] ^= 1 << rng.randrange(8)
        try:
            table = image._table(bytes(data))
        except ValueError:
            refused += 1
            continue
        places = [*[p for p, _ in table.needs], *[p for p, _ in table.addresses]]
        assert all(table.constants <= p <= table.size - 8 for p in places)
        assert table.content + table.code + table.size - table.constants == len(data)
        assert table.instructions <= table.code <= table.constants <= table.size
    assert refused > 1000


@pytest.mark.parametrize("numbers", [(1 << 62, 0, 0, 0, 0, 0, 0), (0, 0, 0, 1 << 61, 0, 0, 0), (0,) * 7])
def test_tables_of_absurd_length_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(jit.CompileError, match="link"):
        jit.link(image._MAGIC + struct.pack("<7Q", *numbers), {})


def test_images_are_unloaded() -> None:
    def mapped() -> int:
        with open("/proc/self/maps") as file:
            return sum(1 for _ in file)

    whole = built()
    codes = [jit.link(whole, SYMBOLS) for _ in range(20)]
    many = mapped()
    codes.clear()
    assert mapped() <= many - 20
