"""From the text of an LLVM module to code in memory.

`compile_ir` makes object code: position independent, with all external symbols left open, so that it can be
kept on disk (`cache.py`) and run by another process. `link` binds the symbols and loads it. Long modules are
compiled in parts (`generation.py`), whose object code is put together in one string of bytes: an image
(`image.py`) if they are of the plain kind that programs are. The modules are
vectorised when they are written (explicit `<N x float>` types), so no pass runs on them; all that LLVM does
is to select instructions and allocate registers.

llvmlite is imported when the first program is compiled, not with this module.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from . import cpu, image


class CompileError(RuntimeError):
    """LLVM refused a module, or could not link one: a defect of the compiler, never of the user's program."""


lock = threading.RLock()
"""Held by whoever uses LLVM. Also around a fork, so that the child finds LLVM in order."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

_numbers = itertools.count()
exiting: list[bool] = []
"""Not empty while the process exits."""
_loaded: dict[int, Any] = {}  # llvmlite's handles of code in memory


@atexit.register
def _stop_unloading() -> None:
    # Threads may still be inside of compiled code while the interpreter shuts down and drops all objects, so
    # from here on no code is unloaded.
    exiting.append(True)
    keep_forever(_loaded)


# Modules lose their globals while the interpreter shuts down, so what is called then has its own references.
def keep_forever(value: Any, _own: Any = ctypes.pythonapi.Py_IncRef, _object: Any = ctypes.py_object) -> Any:
    """`value`, which will never be freed, not even when the interpreter shuts down."""
    _own(_object(value))
    return value


@cache
def binding() -> Any:
    """`llvmlite.binding`, with the host's code generator initialised."""
    with lock:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()  # without it, inline assembly ends the process
        # LLVM's loop strength reduction takes time that grows with the cube of the number of loops in a
        # function, and our loops have their addresses computed as they should be. The option holds for the
        # whole process.
        llvm.set_option("pullback", "-disable-lsr")
        return llvm


@cache
def host() -> tuple[str, str, str]:
    """The triple, CPU name and features that code is generated for (see `cpu.py`)."""
    llvm = binding()
    name, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    other = cpu.chosen(os.environ.get("PULLBACK_CPU", ""), name, features)
    return (llvm.get_process_triple(), *(other or (name, features.flatten())))


@cache
def _target_machine(opt: int) -> Any:
    triple, name, features = host()
    target = binding().Target.from_triple(triple)
    return target.create_target_machine(cpu=name, features=features, opt=opt, reloc="pic", codemodel="small")


@cache
def target() -> int:
    """The address of LLVM's description of the host's architecture."""
    found = binding().Target.from_triple(host()[0])
    keep_forever(found)
    address: int | None = ctypes.cast(found._ptr, ctypes.c_void_p).value
    return address or 0


@cache
def version() -> str:
    """What object code depends on beside the text: the versions of LLVM and of its binding, and the CPU."""
    import llvmlite

    numbers = ".".join(map(str, binding().llvm_version_info))
    return "/".join((llvmlite.__version__, numbers, *host()))


def _parse(text: str) -> Any:
    llvm = binding()
    if "\0" in text:
        raise CompileError("the text of an LLVM module contains a zero byte")
    try:
        module = llvm.parse_assembly(text)
        module.triple = host()[0]
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM refused a module that the compiler wrote: {error}") from error
    return module


def compile_ir(text: str, *, opt: int = 1) -> bytes:
    """The object code of a module (compiled now, even if it is on disk: see `cache.compiled`).

    Args:
        text: the module in LLVM's textual form.
        opt: the effort of the code generator, 0 to 3. A loop body of 1,000 instructions takes 25 ms at 1; at
            0 it takes a quarter of that, and the code is up to twice as slow.

    Raises:
        CompileError: the text is no valid module.
    """
    with lock:
        result: bytes = _target_machine(opt).emit_object(_parse(text))
        return result


def taken(obj: int | None, error: int | None) -> bytes:
    """The object code in a buffer of LLVM's, which is freed with the message about errors.

    Raises:
        CompileError: there is none; the message says why.
    """
    from llvmlite.binding import ffi

    message = ""
    with lock:
        if error:
            message = str(ffi.OutputString.from_return(error))
        if obj:
            buffer = ctypes.cast(obj, ffi.LLVMMemoryBufferRef)
            start, size = ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer)
            result = ctypes.string_at(start, size)
            ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
            return result
    raise CompileError(f"LLVM refused a module that the compiler wrote: {message}")


def function_address(name: str, arguments: int) -> int | None:
    """The address of a function of LLVM's C interface as llvmlite exports it.

    None if there is none with so many arguments: llvmlite promises neither names nor arguments.
    """
    binding()
    from llvmlite.binding import ffi

    with lock:
        function = getattr(ffi.lib._lib, name, None)
        if function is None or len(function.argtypes or ()) != arguments:
            return None
        return ctypes.cast(function, ctypes.c_void_p).value


_SEVERAL = b"pullback parts\n"


def together(objects: Sequence[bytes]) -> bytes:
    """The object code of the parts of a module as one string of bytes that `link` loads quickly."""
    found = image.made(objects)
    if found is not None:
        return found
    if len(objects) == 1:
        return objects[0]
    return _SEVERAL + b"".join([len(obj).to_bytes(8, "little") + obj for obj in objects])


def apart(code: bytes) -> list[bytes]:
    """What `together` put together, unless it is an image."""
    if not code.startswith(_SEVERAL):
        return [code]
    objects, place = [], len(_SEVERAL)
    while place < len(code):
        start = place + 8
        place = start + int.from_bytes(code[start - 8 : start], "little")
        objects.append(code[start:place])
    return objects


def assembly(text: str, *, opt: int = 1) -> str:
    """The assembly code that `compile_ir` would encode, to look at.

    Raises:
        CompileError: the text is no valid module.
    """
    with lock:
        result: str = _target_machine(opt).emit_assembly(_parse(text))
        return result


def code_size(obj: bytes) -> int:
    """The bytes of machine code in what `compile_ir` or `together` returned."""
    if image.is_image(obj):
        return image.code_size(obj)
    with lock:
        parts = [binding().ObjectFileRef.from_data(part).sections() for part in apart(obj)]
        return sum(section.size() for sections in parts for section in sections if section.is_text())


@cache
def _linker() -> Any:
    llvm = binding()
    # All code lives in it.
    return keep_forever(
        llvm.create_lljit_compiler(_target_machine(1), use_jit_link=True, suppress_errors=True)
    )


class Linked:
    """Code in memory; it is unloaded when this object is dropped."""

    __slots__ = ("_addresses", "_number", "__weakref__")

    def __init__(self, number: int, tracker: Any, addresses: dict[str, int]) -> None:
        self._number = number
        self._addresses = addresses
        # Were it an attribute, the collector of cycles might close it first, and without the lock.
        _loaded[number] = tracker

    def address(self, name: str) -> int:
        """The address of an exported function or variable; KeyError if it was not exported."""
        return self._addresses[name]

    def __del__(
        self,
        exiting: list[bool] = exiting,
        in_use: threading.RLock = lock,
        loaded: dict[int, Any] = _loaded,
    ) -> None:
        if not exiting:
            with in_use:
                loaded.pop(self._number).close()


def link(obj: bytes, symbols: Mapping[str, int], exports: tuple[str, ...] = ("program",)) -> Linked:
    """Load object code.

    Args:
        obj: what `compile_ir` or `together` returned, here or in another process on an equal machine.
        symbols: the addresses of the external functions and variables. Those of the C library and of Python
            are found without being named here.
        exports: the names that `Linked.address` will know.

    Raises:
        CompileError: a symbol is missing, or the object code is damaged.
    """
    if image.is_image(obj):
        try:
            loaded = image.load(obj, symbols, exports)
        except (ValueError, OSError) as error:
            raise CompileError(f"a program could not be linked: {error}") from error
        return Linked(next(_numbers), loaded, loaded.addresses)
    llvm = binding()
    builder = llvm.JITLibraryBuilder().add_current_process()
    for part in apart(obj):
        builder.add_object_img(part)
    for name, address in symbols.items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    with lock:
        number = next(_numbers)
        try:
            tracker = builder.link(_linker(), f"pullback.{number}")  # names cannot be used again
        except RuntimeError as error:
            raise CompileError(f"LLVM could not link a program: {error}") from error
    return Linked(number, tracker, {export: tracker[export] for export in exports})
