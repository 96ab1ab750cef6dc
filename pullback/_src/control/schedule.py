"""Which states of a chain of steps to keep to reverse it with few runs of its steps.

To reverse a step, its state must be there. With `slots` states in memory, the first one included, and each
step run at most `r` times over, C(slots + r, slots) steps can be reversed and no more. For a known length the
binomial schedule runs the fewest steps (`extra_steps`, `first_part`).

Griewank and Walther, Algorithm 799: Revolve, ACM Transactions on Mathematical Software 26 (2000), equation 2.

While a loop runs whose length is not known yet, `kept_steps` says which states to keep. They divide the loop
into parts, each of which is reversed by the binomial schedule with the slots from its own on: part k with
slots - k of them. As long as it has no more than C(slots - k + p, p) steps, each of them costs p runs more at
most. So a state is given up if the two parts that it separates stay within that limit as one, and the level p
grows when there is no such state. Candidates are looked through in turns, from the last to the first, and the
neighbour of one that was given up is left out, which keeps the lengths of the parts even. From level 1 on a
state is kept in one step of p + 2 only. What this costs beside the schedule for the known length is in the
table of docs/advanced/loops.md.

The limits are those of Wang, Moin and Iaccarino, Minimal repetition dynamic checkpointing algorithm for
unsteady adjoint calculation, SIAM Journal on Scientific Computing 31 (2009). Their rule replaces the newest
state at every step until a level is full, and then gives up all of that level. On average it runs about as
many steps, in the worst case more (50 slots: 1.45 times the least, here 1.29), and it keeps up to four times
as many states on its way, each of which is a copy.
"""

from __future__ import annotations

from itertools import pairwise
from math import comb


def repeats(steps: int, slots: int) -> int:
    """How often a step is run, at most, before the run that is reversed."""
    found = 0
    while comb(slots + found, slots) < steps:
        found += 1
    return found


def extra_steps(steps: int, slots: int) -> int:
    """How many steps are run in all, beside the run of each step that is reversed."""
    if steps < 1:
        return 0
    r = repeats(steps, slots)
    return r * steps - comb(slots + r, slots + 1)


def first_part(steps: int, slots: int) -> int:
    """After how many of the steps (two or more) the next state is kept, with at least two slots."""
    r = repeats(steps, slots)
    reach = comb(slots + r, slots)
    reach_before = reach * r // (slots + r)  # with a repetition less
    reach_fewer = reach * slots // (slots + r)  # with a slot less
    # The largest of the best: neither part needs more repetitions than it may.
    return min(reach_before, steps - reach_fewer * r // (slots + r - 1))


def kept_steps(steps: int, slots: int) -> list[int]:
    """The steps whose states are kept after so many, in increasing order; step 0 always is."""
    kept: list[int] = []
    following = level = candidate = given_up = 0
    for step in range(steps):
        if step < following:
            continue
        if len(kept) == slots:
            if slots == 1:
                break
            while not (candidate > 0 and _within(kept, candidate, step, slots, level)):
                if candidate > 0:
                    candidate -= 1
                    continue
                level += given_up == 0
                candidate, given_up = slots - 1, 0
            del kept[candidate]
            candidate -= 2
            given_up += 1
        kept.append(step)
        following = step + interval(level)
    return kept


def _within(kept: list[int], candidate: int, step: int, slots: int, level: int) -> bool:
    """Whether the parts on both sides of a state can be one, at this level."""
    end = kept[candidate + 1] if candidate + 1 < slots else step
    return end - kept[candidate - 1] <= comb(slots - candidate + 1 + level, level)


def interval(level: int) -> int:
    """How many steps after one whose state is kept the next such is."""
    return level + 2 if level else 1


def online_extra_steps(steps: int, slots: int) -> int:
    """How many steps are run to compute states, from those that were kept while the loop ran."""
    bounds = [*kept_steps(steps, slots), steps]
    return sum(extra_steps(b - a, slots - k) for k, (a, b) in enumerate(pairwise(bounds)))


__all__ = ["extra_steps", "first_part", "interval", "kept_steps", "online_extra_steps", "repeats"]
