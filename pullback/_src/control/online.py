"""The states that a loop keeps while it runs (`schedule.kept_steps`), with operations that engines know.

The slots form a circle. The kept states, in the order of their steps, are the arc from slot 0 to the newest;
the slots of the others follow. So a state in the middle is given up, and its slot used for the newest, with a
few changes to links, and states are written only once and never moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.array import wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.evaluate import evaluate
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p, and_p, div_p, min_p, mul_p, or_p, sub_p
from ..ops.compare import eq_p, ge_p, gt_p, le_p, lt_p, select_n_p
from ..ops.convert import convert_element_type_p
from ..ops.empty import empty
from ..ops.iota import iota_p
from ..ops.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim
from .counted import COUNT, INT, integer, loop_while, states_aval
from .while_rules import bind_while

REAL = np.dtype(np.float64)
NEVER = 1 << 62
"""A step that no loop reaches."""


class Links(NamedTuple):
    """What the next state to be kept depends on; see `schedule.kept_steps` for the first five.

    Attributes:
        following: the step whose state is kept next.
        count: how many states are kept.
        level, candidate, given_up: as there.
        limit: how long the parts around the candidate may be together.
        place: the candidate's slot.
        newest: the newest state's slot.
        newer, older: for each slot its neighbours in the circle.
        at: for each slot the step of its state.
    """

    following: Any
    count: Any
    level: Any
    candidate: Any
    given_up: Any
    limit: Any
    place: Any
    newest: Any
    newer: Any
    older: Any
    at: Any


def first_links(slots: int) -> Links:
    """Nothing is kept."""
    zero, one = integer(0), integer(1)
    places = iota_p.bind(dtype=INT, shape=(slots,), dimension=0)
    last = integer(slots - 1)
    newer = put([add_p.bind(places, one)], [zero], last)[0]
    older = put([sub_p.bind(places, one)], [last], zero)[0]
    at = empty((slots,), INT)
    return Links(zero, zero, zero, zero, zero, real(1), zero, last, newer, older, at)


def keep(step: Any, values: Sequence[Any], links: Links, states: Sequence[Any]) -> tuple[Links, list[Any]]:
    """Keep the values at this step, if it is the one; the first axis of `states` is that of the slots."""
    test, change = _programs(links.at.aval.shape[0], tuple([v.aval for v in values]))
    # A loop of one turn or none: it changes what is kept in place.
    outs = bind_while(test, [step], change, [step, *values], [*links, *states])
    count = len(links)
    return Links(*outs[:count]), outs[count:]


def summary(links: Links) -> list[Any]:
    """How many states are kept, the slots in the order of their steps, and then the free ones, the steps."""
    program = _order_program(links.at.aval.shape[0])
    return [links.count, *evaluate(program, [links.level, links.newer]), links.at]


@lru_cache(maxsize=256)
def _order_program(slots: int) -> Program:
    def order_of(level: Any, newer: Any) -> list[Any]:
        places = iota_p.bind(dtype=INT, shape=(slots,), dimension=0)
        # As long as no state has been given up, the circle is as it was.
        length = select_n_p.bind(gt_p.bind(level, integer(0)), integer(0), integer(slots))

        def follow(k: Any, place: Any, order: Any) -> list[Any]:
            return [add_p.bind(k, integer(1)), element(newer, place), *put([order], [place], k)]

        return loop_while(lambda k, *_: lt_p.bind(k, length), follow, [integer(0), integer(0), places])[2:]

    return stage(order_of, [COUNT, shaped_array((slots,), INT)], name="order").with_consts_as_literals()


def newest_before(end: Any, count: Any, order: Any, at: Any) -> Any:
    """The place in the order of the newest of the kept states before step `end`, or 0.

    There are later ones if they were kept for lanes that took more turns.
    """
    return evaluate(_newest_program(at.aval.shape[0]), [end, count, order, at])[0]


@lru_cache(maxsize=256)
def _newest_program(slots: int) -> Program:
    def newest(end: Any, count: Any, order: Any, at: Any) -> list[Any]:
        def is_later(place: Any) -> Any:
            return and_p.bind(
                gt_p.bind(place, integer(0)), ge_p.bind(element(at, element(order, place)), end)
            )

        return loop_while(is_later, lambda p: [sub_p.bind(p, integer(1))], [sub_p.bind(count, integer(1))])

    vector = shaped_array((slots,), INT)
    return stage(newest, [COUNT, COUNT, vector, vector], name="newest").with_consts_as_literals()


def element(array: Any, index: Any) -> Any:
    """The part of an array at an index of its first dimension."""
    return dynamic_index_in_dim(array, index, 0, False, allow_negative_indices=False)


def put(arrays: Sequence[Any], values: Sequence[Any], index: Any) -> list[Any]:
    """The arrays with their parts at an index of the first dimension replaced."""
    return [
        dynamic_update_index_in_dim(a, v, index, 0, allow_negative_indices=False)
        for a, v in zip(arrays, values, strict=True)
    ]


def as_int(condition: Any) -> Any:
    return convert_element_type_p.bind(condition, new_dtype=INT, weak_type=False)


def as_real(number: Any) -> Any:
    return convert_element_type_p.bind(number, new_dtype=REAL, weak_type=False)


def real(value: float) -> Any:
    return wrap(np.asarray(value, REAL))


@lru_cache(maxsize=256)
def _programs(slots: int, avals: tuple[ShapedArray, ...]) -> tuple[Program, Program]:
    """(step, links, states) -> whether to keep it, and (step, values, links, states) -> links, states."""
    count = len(Links._fields)
    vector = shaped_array((slots,), INT)
    numbers = [COUNT] * (count - 3)
    numbers[Links._fields.index("limit")] = shaped_array((), REAL)
    stack = [*numbers, *[vector] * 3, *[states_aval(a, slots) for a in avals]]

    def change(step: Any, *rest: Any) -> list[Any]:
        values, links, states = rest[: len(avals)], rest[len(avals) :][:count], rest[len(avals) + count :]
        kept, place = _with_step(step, Links(*links), slots)
        return [*kept, *put(states, values, place)]

    test = stage(lambda step, following, *_: [eq_p.bind(step, following)], [COUNT, *stack], name="keep")
    return (
        test.with_consts_as_literals(),
        stage(change, [COUNT, *avals, *stack], name="keep").with_consts_as_literals(),
    )


def _with_step(step: Any, links: Links, slots: int) -> tuple[Links, Any]:
    """The links when the state of a step has been kept, and its slot."""
    one = integer(1)
    if slots == 1:
        at = put([links.at], [step], integer(0))[0]
        return links._replace(following=integer(NEVER), count=one, at=at), integer(0)
    is_full = ge_p.bind(links.count, integer(slots))
    # A loop of one turn or none, as there is nothing to do as long as there are free slots.
    _, *changed = loop_while(
        lambda more, *_: more,
        lambda more, *rest: [wrap(np.asarray(False)), *_given_up(step, Links(*rest), slots)],
        [is_full, *links],
    )
    links = Links(*changed)
    slot = element(links.newer, links.newest)
    gap = add_p.bind(links.level, add_p.bind(one, as_int(gt_p.bind(links.level, integer(0)))))
    return links._replace(
        following=add_p.bind(step, gap),
        count=min_p.bind(add_p.bind(links.count, one), integer(slots)),
        newest=slot,
        at=put([links.at], [step], slot)[0],
    ), slot


def _given_up(step: Any, links: Links, slots: int) -> Links:
    """The links when a state has been given up: its slot is the one behind the newest."""
    level, candidate, given_up, limit, slot = _candidate(step, links, slots)
    # Out of the circle, and into it again.
    before, after = element(links.older, slot), element(links.newer, slot)
    newer = put([links.newer], [after], before)[0]
    older = put([links.older], [before], after)[0]
    newest = select_n_p.bind(eq_p.bind(slot, links.newest), links.newest, before)
    behind = element(newer, newest)
    newer = put(put([newer], [behind], slot), [slot], newest)[0]
    older = put(put([older], [newest], slot), [slot], behind)[0]
    candidate = sub_p.bind(candidate, integer(2))
    return links._replace(
        level=level,
        candidate=candidate,
        given_up=add_p.bind(given_up, integer(1)),
        limit=_limit(limit, candidate, level, slots, 2),
        # What is changed in place is not read any more: these are the links by now.
        place=element(older, before),
        newest=newest,
        newer=newer,
        older=older,
    )


def _candidate(step: Any, links: Links, slots: int) -> list[Any]:
    """The next candidate that can be given up: level, candidate, given_up, limit and place, as in `Links`."""
    zero, one = integer(0), integer(1)
    newer, older, at, newest = links.newer, links.older, links.at, links.newest

    def missing(level: Any, candidate: Any, given_up: Any, limit: Any, place: Any) -> Any:
        end = select_n_p.bind(eq_p.bind(place, newest), element(at, element(newer, place)), step)
        length = sub_p.bind(end, element(at, element(older, place)))
        return or_p.bind(le_p.bind(candidate, zero), gt_p.bind(as_real(length), limit))

    def move(level: Any, candidate: Any, given_up: Any, limit: Any, place: Any) -> list[Any]:
        again = le_p.bind(candidate, zero)
        level = add_p.bind(level, as_int(and_p.bind(again, eq_p.bind(given_up, zero))))
        candidate = sub_p.bind(candidate, one)
        first = as_real(mul_p.bind(add_p.bind(level, one), add_p.bind(level, integer(2))))
        return [
            level,
            select_n_p.bind(again, candidate, integer(slots - 1)),
            select_n_p.bind(again, given_up, zero),
            select_n_p.bind(again, _limit(limit, candidate, level, slots, 1), mul_p.bind(first, real(0.5))),
            select_n_p.bind(again, element(older, place), newest),
        ]

    return loop_while(missing, move, [links.level, links.candidate, links.given_up, links.limit, links.place])


def _limit(limit: Any, candidate: Any, level: Any, slots: int, moves: int) -> Any:
    """C(slots - candidate + 1 + level, level), from that of the candidate so many after this one.

    Integers are exact in floating point below 2^53, and division is faster.
    """
    left = as_real(sub_p.bind(integer(slots + 1), candidate))
    level = as_real(level)
    above, below = add_p.bind(left, level), left
    if moves == 2:
        above = mul_p.bind(above, sub_p.bind(above, real(1)))
        below = mul_p.bind(below, sub_p.bind(below, real(1)))
    return div_p.bind(mul_p.bind(limit, above), below)
