"""The binomial schedule: which states of a chain of steps to keep to reverse it with few runs of its steps.

To reverse a step, its state must be there. With `slots` states in memory, the first one included, and each
step run at most `r` times over, C(slots + r, slots) steps can be reversed and no more; the schedule here runs
the fewest steps for any length.

Griewank and Walther, Algorithm 799: Revolve, ACM Transactions on Mathematical Software 26 (2000), equation 2.
"""

from __future__ import annotations

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


__all__ = ["extra_steps", "first_part", "repeats"]
