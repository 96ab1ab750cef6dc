"""The plan of a program's memory: places in one arena, used again when what was there is not needed."""

from __future__ import annotations

from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Slot:
    """A place in the arena, in bytes from its start."""

    offset: int
    size: int


class Arena:
    """Gives out places; the first gap that is large enough is taken."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[Slot] = []  # by offset, never adjacent
        self._records: list[list[Slot]] = []

    def record(self) -> list[Slot]:
        """A list of all places that are given out from now on, until `forget`."""
        self._records.append([])
        return self._records[-1]

    def forget(self, record: list[Slot]) -> None:
        self._records = [r for r in self._records if r is not record]

    def take_beside(self, size: int, record: list[Slot]) -> Slot:
        """A place that was free, or unused, all the time since `record` began."""
        used = sorted(record, key=lambda slot: slot.offset)
        blocked: list[Slot] = []
        for slot in used:
            kept = []
            for gap in self._free:
                end = gap.offset + gap.size
                first, last = max(gap.offset, slot.offset), min(end, slot.offset + slot.size)
                if first >= last:
                    kept.append(gap)
                    continue
                blocked.append(Slot(first, last - first))
                if gap.offset < first:
                    kept.append(Slot(gap.offset, first - gap.offset))
                if last < end:
                    kept.append(Slot(last, end - last))
            self._free = kept
        found = self.take(size)
        for slot in blocked:
            self.give(slot)
        return found

    def take(self, size: int) -> Slot:
        slot = self._take(size)
        for record in self._records:
            record.append(slot)
        return slot

    def _take(self, size: int) -> Slot:
        size = max(-(-size // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        for k, gap in enumerate(self._free):
            if gap.size >= size:
                rest = Slot(gap.offset + size, gap.size - size)
                self._free[k : k + 1] = [rest] if rest.size else []
                return Slot(gap.offset, size)
        if self._free and self._free[-1].offset + self._free[-1].size == self.size:
            last = self._free.pop()
            self.size = last.offset + size
            return Slot(last.offset, size)
        slot = Slot(self.size, size)
        self.size += size
        return slot

    def give(self, slot: Slot) -> None:
        """The place is free again."""
        k = 0
        while k < len(self._free) and self._free[k].offset < slot.offset:
            k += 1
        self._free.insert(k, slot)
        if k + 1 < len(self._free) and slot.offset + slot.size == self._free[k + 1].offset:
            slot = Slot(slot.offset, slot.size + self._free[k + 1].size)
            self._free[k : k + 2] = [slot]
        if k and self._free[k - 1].offset + self._free[k - 1].size == slot.offset:
            before = self._free[k - 1]
            self._free[k - 1 : k + 1] = [Slot(before.offset, before.size + slot.size)]
