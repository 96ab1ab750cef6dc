import ctypes
import gc

import pytest

from pullback._src.engines.llvm import jit

ANSWER = "define i32 @program(ptr %frame) {\n  ret i32 42\n}"


def run(code: jit.Linked) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(code.address("program"))(None)


@pytest.mark.parametrize("opt", [0, 1, 2, 3])
def test_compiles_and_runs(opt: int) -> None:
    assert run(jit.link(jit.compile_ir(ANSWER, opt=opt), {})) == 42


def test_compiling_is_deterministic() -> None:
    assert jit.compile_ir(ANSWER) == jit.compile_ir(ANSWER)


def test_symbols_are_bound_when_linking() -> None:
    text = """
    declare i32 @helper(i32)
    @number = external global i32
    define i32 @program(ptr %frame) {
      %n = load i32, ptr @number
      %r = call i32 @helper(i32 %n)
      ret i32 %r
    }"""
    obj = jit.compile_ir(text)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    for factor in (2, 3):
        function = prototype(lambda x, factor=factor: factor * x)
        number = ctypes.c_int(7)
        symbols = {
            "helper": ctypes.cast(function, ctypes.c_void_p).value or 0,
            "number": ctypes.addressof(number),
        }
        assert run(jit.link(obj, symbols)) == 7 * factor


@pytest.mark.parametrize(
    "text",
    [
        "define",
        "define i32 @program() {\n  ret i64 0\n}",
        "define i32 @program() {\n  %x = add i32 %y, 1\n  ret i32 %x\n}",
        "define i32 @f() {\n  %q = add i32 %r, 1\n  %r = add i32 %q, 1\n  ret i32 %r\n}",
        "define void @f(ptr %p) {\n  %v = load <8 x float>, ptr %p, align 3\n  ret void\n}",
        "declare float @llvm.exp.f32(i32)\ndefine void @f() {\n  call float @llvm.exp.f32(i32 3)\n}",
        "define i32 @program() {\n  ret i32 0\n}\0",
    ],
)
def test_a_bad_module_is_an_error(text: str) -> None:
    with pytest.raises(jit.CompileError):
        jit.compile_ir(text)


def test_missing_symbols_and_damaged_code_are_errors() -> None:
    missing = "declare void @pb_nowhere()\ndefine i32 @program() {\n  call void @pb_nowhere()\n  ret i32 0\n}"
    with pytest.raises(jit.CompileError, match="link"):
        jit.link(jit.compile_ir(missing), {})
    with pytest.raises(jit.CompileError, match="link"):
        jit.link(b"no object code", {})
    with pytest.raises(jit.CompileError, match="link"):
        jit.link(jit.compile_ir(ANSWER)[:200], {})
    assert run(jit.link(jit.compile_ir(ANSWER), {})) == 42  # and the linker still works


def test_assembly_shows_the_code() -> None:
    assert "42" in jit.assembly(ANSWER)


def mapped() -> int:
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


def test_code_is_unloaded_with_the_last_reference() -> None:
    obj = jit.compile_ir(ANSWER)
    code = [jit.link(obj, {}) for _ in range(20)]
    many = mapped()
    del code
    gc.collect()
    assert mapped() < many
