from __future__ import annotations

import pytest

from prompt_bleed import run

CALLS = 2400


@pytest.mark.timeout(240)
async def test_no_canary_crosses_between_tenants_or_users_on_a_model_that_mixes_them_up() -> None:
    """One user would read what another told the model: the very thing that workspaces are for."""
    seen = await run(CALLS, users=20, at_once=16)
    assert (seen.tally.canaries, seen.tally.others_words, seen.tally.strange) == (0, 0, {})
    assert seen.tally.calls == CALLS
    # The model did what it is there for, and each time it was seen and said whose prompt it was.
    assert min(seen.did.values()) > CALLS / 4
    assert seen.tally.outcomes == {
        "answered": seen.did["answer"],
        "unsafe-output": seen.did["own"] + seen.did["other"],
    }
    assert seen.events["canary_leak"] == seen.did["own"]
    assert seen.events["crossed_canary"] + seen.events["foreign_canary"] == seen.did["other"]
    assert min(seen.events.values()) > CALLS / 10


async def test_the_same_run_catches_gateways_that_do_not_check() -> None:
    """A test that passes whatever the gateway does would prove nothing."""
    seen = await run(200, users=20, at_once=16, checks=False)
    assert seen.tally.outcomes == {"answered": 200}
    assert seen.tally.canaries == seen.did["own"] + seen.did["other"] > 0
    assert seen.tally.others_words == seen.did["other"] > 0
    assert set(seen.events.values()) == {0}
