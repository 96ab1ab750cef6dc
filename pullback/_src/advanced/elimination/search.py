"""Simulated annealing for elimination orders.

A move takes one vertex out of the order and puts it in at another place. The graph after some vertices have
been eliminated depends only on which these are (see `structure`), so a move changes nothing before and after
the part between the two places: only that part is eliminated again, from the graph kept for its beginning,
and only until it is clear that the move will be refused.

Kirkpatrick, Gelatt & Vecchi 1983; for elimination orders Naumann & Gottschling 2003. All orders that are
found depend only on the graph and on the seed, unless time runs out.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from .structure import Structure

ROUNDS = (100, 300, 1000, 1000)
"""Moves of each round, for each vertex. If the third round brings nothing better, there is no fourth."""

_DISTANCE = 20.0  # the mean length of a move


class Found(NamedTuple):
    """An order with its cost, the moves and seconds that it took, and whether the search was cut short."""

    order: tuple[int, ...]
    cost: int
    moves: int
    seconds: float
    complete: bool


def search(
    structure: Structure,
    count_units: bool,
    budget: float,
    seed: int = 0,
    rounds: Sequence[int] = ROUNDS,
) -> Found:
    """A good order.

    Args:
        structure: the graph.
        count_units: whether multiplications by 1 and -1 count.
        budget: seconds after which the search ends with the best order so far.
        seed: of the random numbers.
        rounds: moves of each round, for each vertex; a round begins with the best order so far.
    """
    started = time.perf_counter()
    deadline = started + budget

    def measure(order: tuple[int, ...]) -> int:
        cost = structure.cost(order)
        return cost.all if count_units else cost.proper

    starts = [structure.markowitz(), structure.reverse(), structure.forward()]
    order = min(starts, key=measure)
    best = measure(order)
    moves = 0
    complete = True
    generator = random.Random(seed)
    if len(order) > 1:
        for per_vertex in rounds:
            if best == 0:
                break
            before = best
            order, best, done, complete = _anneal(
                structure, order, count_units, per_vertex * len(order), deadline, generator
            )
            moves += done
            if not complete or (per_vertex == max(ROUNDS) and best == before):
                break
    return Found(order, best, moves, time.perf_counter() - started, complete)


def _anneal(
    structure: Structure,
    start: tuple[int, ...],
    count_units: bool,
    moves: int,
    deadline: float,
    generator: random.Random,
) -> tuple[tuple[int, ...], int, int, bool]:
    """The best order met, its cost, the number of moves tried, and whether time has sufficed for all."""
    eliminate = structure.eliminate
    rand, log = generator.random, math.log
    # A row's high half holds the edges that are not 1 or -1; all of them count as such if units do.
    size = structure.size
    succ, pred = structure.succ[:], structure.pred[:]
    if count_units:
        low = (1 << size) - 1
        succ = [(row & low) << size | (row & low) for row in succ]
        pred = [(row & low) << size | (row & low) for row in pred]
    order = list(start)
    count = len(order)
    states = []  # the graph before each elimination
    costs = []
    for v in order:
        states.append((succ, pred))
        costs.append((succ[v] >> size).bit_count() * (pred[v] >> size).bit_count())
        succ, pred = succ[:], pred[:]
        eliminate(v, succ, pred)
    total = best = sum(costs)
    best_order = tuple(order)
    # Costs change by a few units where degrees are small, and by more in dense graphs.
    hot = 3.0 * max(1.0, total / (4 * count))
    cooling = log(1 / 12) / moves
    temperature = hot
    distance = min(_DISTANCE, count / 4)
    for move in range(moves):
        if not move & 127:
            temperature = hot * math.exp(cooling * move)
            if time.perf_counter() > deadline:
                return best_order, best, move, False
        i = int(rand() * count)
        j = int(distance * log(1 - rand())) - 1
        j = i + j if rand() < 0.5 else i - j
        if not 0 <= j < count:
            continue
        v = order[i]
        if i < j:
            first, last = i, j + 1
            part = order[i + 1 : last]
            part.append(v)
        else:
            first, last = j, i + 1
            part = [v]
            part += order[j:i]
        before = sum(costs[first:last])
        allowed = before - temperature * log(1 - rand())
        succ, pred = states[first]
        cost = 0
        new_states: list[tuple[list[int], list[int]]] = []
        new_costs: list[int] = []
        for w in part:
            if new_states:
                succ, pred = succ[:], pred[:]
                eliminate(v, succ, pred)
            one = (succ[w] >> size).bit_count() * (pred[w] >> size).bit_count()
            cost += one
            if cost > allowed:
                break
            new_states.append((succ, pred))
            new_costs.append(one)
            v = w
        else:
            order[first:last] = part
            costs[first:last] = new_costs
            states[first:last] = new_states
            total += cost - before
            if total < best:
                best = total
                best_order = tuple(order)
    return best_order, best, moves, True
