"""Every second is counted once, for the innermost kind of work."""

import inspect
import threading

import pytest

from lib import clock
from lib.clock import Clock, Reading, Seconds, counts


class Hand:
    """A clock that is moved by hand, as `clock.read` reads it."""

    def __init__(self):
        self.now = Reading(100.0, 0.5, 0.0)

    def __call__(self):
        return self.now

    def move(self, wall=0.0, own=0.0, children=0.0):
        self.now = Reading(self.now.wall + wall, self.now.own + own, self.now.children + children)


@pytest.fixture
def hand(monkeypatch):
    hand = Hand()
    monkeypatch.setattr(clock, "CLOCK", Clock(hand))
    return hand


def spent():
    return {kind: tuple(seconds) for kind, seconds in clock.CLOCK.spent().items()}


def test_what_a_function_within_takes_is_taken_off(hand):
    @counts("embedding")
    def inner():
        hand.move(4, 8)

    @counts("training")
    def outer():
        hand.move(1, 1)
        inner()
        hand.move(2, 2)
        inner()
        return "made"

    hand.move(10, 0.25)
    assert outer() == "made"
    hand.move(1)
    assert spent() == {"start-up": (11, 0.75), "training": (3, 3), "embedding": (8, 16)}


def test_a_function_of_the_same_kind_within_counts_once(hand, monkeypatch):
    @counts("scoring")
    def inner(again):
        hand.move(1, 1)
        if again:
            inner(again - 1)

    looks = []
    monkeypatch.setattr(clock.CLOCK, "_now", lambda: looks.append(1) or hand())
    inner(2)
    assert len(looks) == 2  # a look takes as long as a small function
    assert spent()["scoring"] == (3, 3)


def test_a_function_that_raises_is_counted_and_closed(hand):
    @counts("writing")
    def inner():
        hand.move(1, 1)
        raise OSError("full")

    @counts("figures")
    def outer():
        with pytest.raises(OSError, match="full"):
            inner()
        hand.move(2, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outer()
    hand.move(5)
    assert spent() == {"start-up": (5, 0.5), "writing": (1, 1), "figures": (2, 2)}


def test_children_count_for_the_work_in_which_they_end_and_for_the_whole(hand):
    """Processes that decode clips belong to the bank; a kernel, which is a child of its job, has its own clock."""

    @counts("bank")
    def decode():
        hand.move(2, 1, 7)

    decode()
    hand.move(3, 1, 20)
    assert spent() == {"start-up": (3, 1.5), "bank": (2, 8)} and clock.CLOCK.elapsed() == Seconds(5, 29.5)
    clock.CLOCK.restart()
    hand.move(1, 2)
    assert spent() == {"start-up": (1, 2)} and clock.CLOCK.elapsed() == Seconds(1, 2)


def test_another_thread_is_left_to_what_the_main_one_does(hand):
    @counts("training")
    def beside():
        hand.move(1, 1)

    @counts("embedding")
    def main():
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()

    main()
    assert spent()["embedding"] == (1, 1) and "training" not in spent()


def test_a_counted_function_looks_as_it_was():
    def scores(clips: int, more: str = "x") -> int:
        """Score."""

    class Trainer:
        @classmethod
        @counts("training")
        def fit(cls, number):
            return cls, number

        @counts("training")
        def run(self):
            return self

    counted, trainer = counts("scoring")(scores), Trainer()
    assert (counted.__name__, counted.__doc__) == ("scores", "Score.")
    assert inspect.signature(counted) == inspect.signature(scores)
    assert trainer.run() is trainer and Trainer.fit(3) == (Trainer, 3)


def test_an_unknown_kind_and_a_generator_are_refused():
    def generator():
        yield 1

    with pytest.raises(ValueError, match=r"unknown kind 'trainig' of work; known: start-up, imports, .*training"):
        counts("trainig")
    with pytest.raises(ValueError, match="generator: a generator works where it is read"):
        counts("training")(generator)


def test_counting_costs_microseconds():
    function = counts("training")(lambda: None)
    with clock.CLOCK.during("other"):
        begin = clock.read()
        for _ in range(2000):
            function()
        assert clock.read().own - begin.own < 2000 * 100e-6
