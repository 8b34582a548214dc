"""The guess of how many tokens a text is."""

from __future__ import annotations

import pytest

from bulkhead_sandbox.gateway.limits import Ratio


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (3, 1), (4, 2), (300, 100), (301, 101)])
def test_nothing_is_known_of_a_new_model_but_bytes(size: int, tokens: int) -> None:
    """A third of the bytes, rounded up."""
    assert tokens == Ratio().tokens(size)


def test_a_guess_that_was_too_low_is_corrected_fast() -> None:
    """Every call until then overspends."""
    ratio = Ratio()
    for _ in range(6):
        ratio.learn(1000, 900)
    assert 850 < ratio.tokens(1000) <= 900


def test_a_guess_that_was_too_high_falls_slowly_and_not_far() -> None:
    """One user's text of few tokens must not make another's of many cheap."""
    ratio = Ratio()
    ratio.learn(6000, 10)
    assert 1900 < ratio.tokens(6000) < 2000
    for _ in range(1000):
        ratio.learn(6000, 1)
    assert 1000 == ratio.tokens(6000)


def test_no_text_has_more_tokens_than_bytes() -> None:
    """A model server that counts nonsense must not lock everybody out."""
    ratio = Ratio()
    for _ in range(100):
        ratio.learn(1000, 10**9)
    assert ratio.tokens(1000) <= 1000


def test_short_texts_teach_nothing() -> None:
    """Their tokens are mostly the chat template's."""
    ratio = Ratio()
    ratio.learn(10, 30)
    assert 100 == ratio.tokens(300)
