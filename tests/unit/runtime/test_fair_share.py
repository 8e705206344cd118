"""fair_share.py: turns by time, so that who costs much holds nobody up."""

from __future__ import annotations

from collections import Counter

from fer_edge.runtime.fair_share import BANK_SECONDS, FairShare


def turns(costs: dict[str, float], count: int, share: FairShare | None = None) -> Counter[str]:
    """Who had how many of so many turns, where all want one at any time."""
    share, had = share or FairShare(), Counter[str]()
    for _ in range(count):
        name = share.pick(costs)
        share.charge(name, costs[name])
        had[name] += 1
    return had


def test_equals_take_turns() -> None:
    assert turns({"a": 0.01, "b": 0.01, "c": 0.01}, 300) == {"a": 100, "b": 100, "c": 100}


def test_each_gets_the_same_time_not_the_same_number_of_turns() -> None:
    had = turns({"crowd": 0.09, "empty": 0.01}, 1000)
    assert had["empty"] == 900
    assert had["crowd"] == 100


def test_among_equals_who_waited_longest() -> None:
    share = FairShare()
    assert [share.pick(["a", "b"]) for _ in range(4)] == ["a", "b", "a", "b"]


def test_who_was_away_does_not_take_all_the_time_it_had() -> None:
    share = FairShare()
    turns({"a": 0.1}, 1000, share)  # b is away for 100 seconds
    had = turns({"a": 0.1, "b": 0.1}, 100, share)
    assert had["b"] <= 50 + BANK_SECONDS / 0.1
    assert had["a"] >= 40


def test_only_who_is_ready_is_picked() -> None:
    share = FairShare()
    share.charge("a", 100.0)
    assert share.pick(["a"]) == "a"
