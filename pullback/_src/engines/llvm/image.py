"""Images: object code put together once, so that loading it is one copy and a few addresses.

LLVM's linker takes a millisecond for a program, each time that it is loaded. Programs need little of it:
their object code is ELF for x86-64, position independent, without variables, and refers to other code in four
ways. So its sections are put one after the other as they will lie in memory, which settles everything but the
addresses of external functions. What is left over is a table: places of eight bytes, with the name of the
function, or the offset within the image, whose address belongs there. Calls of external functions jump
through such a place, so they may be anywhere in memory.

In memory the first pages are code, which cannot be written, the others constants, which cannot be run. There
are no tables for unwinding the stack: no exception of C++ passes through a program.

Whatever else an object has (variables, other relocations, other machines) has no image: `made` returns None,
and LLVM links it. Everything read from an object or an image is checked before it is used as a place.

Reference: System V Application Binary Interface, AMD64 Architecture Processor Supplement, chapter 4.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from . import dynamic

_MAGIC = b"pullback image 1\n"
# Bytes of code, of constants, and of instructions (the code without its jumps to other functions); functions
# that it needs, offsets whose addresses it needs, functions that it has, bytes of their names.
_HEAD = struct.Struct("<7Q")

_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_IDENTITY = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _STRTAB, _RELA, _UNWIND = 1, 2, 3, 4, 0x70000001
_WRITE, _ALLOC, _CODE, _TLS = 1, 2, 4, 0x400
_UNDEFINED = 0
_LOCAL, _GLOBAL = 0, 1
_PLAIN_KINDS = (0, 1, 2, 3, 4)  # of symbols: unknown, data, function, section, file
_ADDRESS, _RELATIVE, _CALL, _PLACES = 1, 2, 4, (9, 41, 42)

_PAGE = 4096
_STUB = 8
_LARGEST = 1 << 28


class _UnknownError(Exception):
    """An object has what images have not."""


class _Part:
    """One object: where its sections lie in the image, and what its symbols are."""

    __slots__ = ("data", "places", "relocations", "sections", "sizes", "symbols")

    def __init__(self, data: bytes) -> None:
        self.data = data
        identity, kind, machine, _, _, _, start, _, _, _, _, size, count, _ = _ELF.unpack_from(data)
        if identity[:7] != _IDENTITY or (kind, machine, size) != (_RELOCATABLE, _X86_64, _SECTION.size):
            raise _UnknownError
        if not count or start + count * size > len(data):
            raise _UnknownError
        self.sections = list(_SECTION.iter_unpack(data[start : start + count * size]))
        self.places: dict[int, int] = {}  # of sections in the image
        self.sizes: dict[int, int] = {}
        self.relocations: list[int] = []
        self.symbols: list[tuple[Any, ...]] = []
        tables = []
        for number, (_, kind, flags, _, offset, size, _, info, align, _) in enumerate(self.sections):
            if kind == _SYMTAB:
                tables.append(number)
            elif kind == _RELA:
                if self.sections[info][1] != _UNWIND:
                    self.relocations.append(number)
            elif flags & _ALLOC and kind != _UNWIND:
                if kind != _PROGBITS or flags & (_WRITE | _TLS) or align > _PAGE or align & (align - 1):
                    raise _UnknownError
                self.sizes[number] = size
            elif kind not in (0, _PROGBITS, _STRTAB, _UNWIND):
                raise _UnknownError
            if kind and offset + size > len(data):
                raise _UnknownError
        if len(tables) != 1:
            raise _UnknownError
        table = self.sections[tables[0]]
        names = self.content(table[6])
        for name, info, _, section, value, _ in _SYMBOL.iter_unpack(self.content(tables[0])):
            binding, kind = info >> 4, info & 15
            if kind not in _PLAIN_KINDS or binding not in (_LOCAL, _GLOBAL):
                raise _UnknownError
            text = names[name : names.index(b"\0", name)] if binding == _GLOBAL else b""
            self.symbols.append((text.decode(), section, value))

    def content(self, number: int) -> bytes:
        """A section's bytes."""
        section = self.sections[number]
        return self.data[section[4] : section[4] + section[5]]

    def lay(self, code: bool, end: int) -> int:
        """Give the sections with code, or those without, their places from `end` on; returns the new end."""
        for number in self.sizes:
            section = self.sections[number]
            if bool(section[2] & _CODE) == code:
                align = max(section[8], 1)
                end = (end + align - 1) & -align
                self.places[number] = end
                end += section[5]
        return end

    def place(self, symbol: tuple[Any, ...]) -> int | None:
        """Where in the image a symbol is that the object defines; None if it has no place there."""
        _, section, value = symbol
        start = self.places.get(section)
        if start is None:
            return None
        if value > self.sizes[section]:
            raise _UnknownError
        return int(start + value)


def made(objects: Sequence[bytes]) -> bytes | None:
    """The image of some objects that belong together, or None if it takes more than images can do.

    Args:
        objects: object code as LLVM makes it.
    """
    try:
        return _made(objects)
    except (_UnknownError, struct.error, IndexError, ValueError):
        return None


def _made(objects: Sequence[bytes]) -> bytes:
    parts = [_Part(data) for data in objects]
    end = 0
    for part in parts:
        end = part.lay(True, end)
    instructions = end
    defined: dict[str, int] = {}
    named = [symbol for part in parts for symbol in part.symbols if symbol[0]]
    inside = {name for name, section, _ in named if section != _UNDEFINED}
    # Names of external functions, and the places of the jumps to them.
    jumps = (instructions + _STUB - 1) & -_STUB
    outside: dict[str, int] = {}
    for name, section, _ in named:
        if section == _UNDEFINED and name not in inside:
            outside.setdefault(name, jumps + _STUB * len(outside))
    code = jumps + _STUB * len(outside)
    constants = end = (code + _PAGE - 1) & -_PAGE
    for part in parts:
        end = part.lay(False, end)
    if end > _LARGEST:
        raise _UnknownError
    for part in parts:
        for symbol in part.symbols:
            if symbol[0] and symbol[1] != _UNDEFINED:
                place = part.place(symbol)
                if place is None or symbol[0] in defined:
                    raise _UnknownError
                defined[symbol[0]] = place
    content = bytearray(end)
    for part in parts:
        for number, place in part.places.items():
            content[place : place + part.sizes[number]] = part.content(number)
    # Places with addresses: of an external function (its name), or of what is in the image (its offset).
    slots: dict[str | int, int] = {}
    addresses: list[tuple[int, int]] = []
    first = (end + 7) & -8
    for part in parts:
        _relocate(part, content, defined, outside, slots, addresses, first)
    for name, stub in outside.items():
        slot = slots.setdefault(name, first + 8 * len(slots))
        struct.pack_into("<Hi", content, stub, 0x25FF, slot - (stub + 6))  # jmp *slot(%rip)
    content.extend(bytes(first + 8 * len(slots) - len(content)))
    needs = [(place, name) for name, place in slots.items() if isinstance(name, str)]
    addresses += [(place, target) for target, place in slots.items() if isinstance(target, int)]
    names = "\n".join([*[name for _, name in needs], *defined]).encode()
    if any("\n" in name for name in (*outside, *defined)):
        raise _UnknownError
    sizes = (code, len(content) - constants, instructions)
    head = _HEAD.pack(*sizes, len(needs), len(addresses), len(defined), len(names))
    numbers = [*[place for place, _ in needs], *[n for pair in addresses for n in pair], *defined.values()]
    table = struct.pack(f"<{len(numbers)}Q", *numbers)
    return b"".join([_MAGIC, head, table, names, content[:code], content[constants:]])


def _relocate(
    part: _Part,
    content: bytearray,
    defined: Mapping[str, int],
    outside: Mapping[str, int],
    slots: dict[str | int, int],
    addresses: list[tuple[int, int]],
    first: int,
) -> None:
    """Write what depends on places into a part's sections; note what depends on addresses."""
    targets: list[Any] = []
    for symbol in part.symbols:
        name, section, _ = symbol
        if name and section == _UNDEFINED:
            targets.append(defined.get(name, name))
        else:
            targets.append(part.place(symbol))
    pack = struct.Struct("<i").pack_into
    for number in part.relocations:
        info = part.sections[number][7]
        start = part.places.get(info)
        if start is None:
            if part.sections[info][2] & _ALLOC:
                raise _UnknownError
            continue  # about the program, as for debuggers
        limit = part.sizes[info]
        for offset, kind, symbol, addend in _RELOCATION.iter_unpack(part.content(number)):
            target = targets[symbol]
            if target is None or offset + (8 if kind == _ADDRESS else 4) > limit:
                raise _UnknownError
            here = start + offset
            if kind in (_CALL, _RELATIVE):
                if type(target) is str:
                    if kind == _RELATIVE:
                        raise _UnknownError
                    target = outside[target]
            elif kind in _PLACES:
                slot = slots.get(target)
                if slot is None:
                    slot = slots[target] = first + 8 * len(slots)
                target = slot
            elif kind == _ADDRESS and type(target) is int and not part.sections[info][2] & _CODE:
                if not 0 <= target + addend <= len(content):
                    raise _UnknownError
                addresses.append((here, target + addend))
                continue
            else:
                raise _UnknownError
            pack(content, here, target + addend - here)


class Loaded:
    """An image in memory.

    Attributes:
        addresses: of the functions that were asked for.
    """

    __slots__ = ("_memory", "_view", "addresses")

    def __init__(self, memory: mmap.mmap, view: Any, addresses: dict[str, int]) -> None:
        self._memory = memory
        self._view = view  # mapped memory cannot be closed while there is one
        self.addresses = addresses

    def close(self) -> None:
        """Give the memory back: nothing of it may be running."""
        self._view = None
        self._memory.close()


class _Table(NamedTuple):
    """What is before an image's content."""

    content: int  # where it begins
    code: int  # bytes
    constants: int  # where they begin in memory
    size: int  # in memory
    instructions: int
    needs: list[tuple[int, str]]
    addresses: list[tuple[int, int]]
    defined: dict[str, int]


def is_image(code: bytes) -> bool:
    """Whether this is what `made` returned."""
    return code.startswith(_MAGIC)


def _table(image: bytes) -> _Table:
    """Read the table. Raises ValueError if a place in it is not in the image."""
    try:
        code, rest, instructions, needs, addresses, defined, text = _HEAD.unpack_from(image, len(_MAGIC))
        place = len(_MAGIC) + _HEAD.size
        count = needs + 2 * addresses + defined
        start = place + 8 * count
        if count > len(image) or start + text + code + rest != len(image):
            raise ValueError("its length is wrong")
        numbers = struct.unpack_from(f"<{count}Q", image, place)
    except struct.error as error:
        raise ValueError(str(error)) from None
    names = image[start : start + text].decode().split("\n") if text else []
    if len(names) != needs + defined or instructions > code:
        raise ValueError("its table is wrong")
    constants = (code + _PAGE - 1) & -_PAGE
    size = constants + rest
    pairs = numbers[needs : needs + 2 * addresses]
    table = _Table(
        start + text,
        code,
        constants,
        size,
        instructions,
        [*zip(numbers[:needs], names[:needs], strict=True)],
        [*zip(pairs[::2], pairs[1::2], strict=True)],
        dict(zip(names[needs:], numbers[needs + 2 * addresses :], strict=True)),
    )
    slots = [*numbers[:needs], *pairs[::2]]
    if slots and (min(slots) < constants or max(slots) > size - 8):
        raise ValueError("an address belongs outside of its constants")
    if max([*pairs[1::2], *table.defined.values()], default=0) > size:
        raise ValueError("a function is outside of it")
    return table


def code_size(image: bytes) -> int:
    """The bytes of instructions."""
    return _table(image).instructions


def load(image: bytes, symbols: Mapping[str, int], exports: Sequence[str]) -> Loaded:
    """Bring an image into memory; it is there until `close` is called.

    Args:
        image: what `made` returned, here or in another process.
        symbols: the addresses of external functions. Those of the C library and of Python need no mention.
        exports: the names of functions whose addresses are wanted.

    Raises:
        ValueError: the image is damaged, or a function is not there.
        OSError: the system gives no memory for code.
    """
    table = _table(image)
    constants = bytearray(image[table.content + table.code :])
    first = table.constants
    pack = struct.Struct("<Q").pack_into
    for place, name in table.needs:
        address = symbols.get(name)
        pack(constants, place - first, _in_process(name) if address is None else address)
    wanted = {}
    for name in exports:
        offset = table.defined.get(name)
        if offset is None or offset >= table.instructions:
            raise ValueError(f"it has no function {name}")
        wanted[name] = offset
    length = (table.size + _PAGE - 1) & -_PAGE
    memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
    view = ctypes.c_char.from_buffer(memory)
    base = ctypes.addressof(view)
    for place, target in table.addresses:
        pack(constants, place - first, base + target)
    memory[: table.code] = image[table.content : table.content + table.code]
    memory[first : table.size] = constants
    protect = _protect()
    for start, end, allowed in (
        (0, first, mmap.PROT_READ | mmap.PROT_EXEC),
        (first, length, mmap.PROT_READ),
    ):
        if end > start and protect(base + start, end - start, allowed):
            number = ctypes.get_errno()
            raise OSError(number, f"no memory for code: {os.strerror(number)}")
    return Loaded(memory, view, {name: base + offset for name, offset in wanted.items()})


@cache
def _process() -> int:
    return dynamic.opened(None)


@cache
def _protect() -> Any:
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, use_errno=True)
    return kind(_in_process("mprotect"))


def _in_process(name: str) -> int:
    """The address of a function of the C library or of Python."""
    address = dynamic.find(_process(), name)
    if not address:
        raise ValueError(f"there is no function {name}")
    return address


__all__ = ["code_size", "is_image", "load", "made"]
