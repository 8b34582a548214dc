"""A signing key is exchanged while sessions go on, and not one call of theirs is refused.

The exchange takes minutes by design: kubelets take up to 90 s to bring a Secret into a mounted volume, so the
new key signs 150 s after it was published. So it begins with the first test of a run, goes on beside all
others, and is looked at near the end (conftest.py). Not waited for is its own end, twelve minutes later, when
the old key's public half is withdrawn: tests/unit/engine/test_rotation.py goes there on a faked clock.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_wire.keys import Jwks
from kubelive import Live, Ref, wait_until
from kubelive.workspaces import ready, token, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelive.backend import Backend

NAME = "exchange"
FRESH_EVERY_SECONDS = 15.0
TURN_SECONDS = 300.0  # 150 s by design, a look or two of the operator's, and what other tests stop it for

# In the backend's pod: with the first token as long as it lives, and with the newest one; twice a second. An
# answer is final. A connection that fails is tried again: other tests restart the network engine meanwhile.
_CALLS = """
import json, sys, threading, time, urllib.error, urllib.request
ask = json.loads(sys.stdin.readline())
tokens, done = {"first": ask["token"]}, threading.Event()
def read():
    for line in sys.stdin:
        tokens["newest"] = line.strip()
    done.set()
threading.Thread(target=read, daemon=True).start()
calls, failures, last = 0, [], {}
while not done.wait(0.5):
    for which, token in list(tokens.items()):
        if which == "first" and time.time() > ask["until"]:
            continue
        request = urllib.request.Request(ask["url"], headers={"Authorization": "Bearer " + token})
        for _ in range(5):
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
            except OSError as error:
                status = type(error).__name__
                time.sleep(1)
                continue
            break
        calls += 1
        if status == 200:
            last[which] = time.time()
        else:
            failures.append([which, status, time.time()])
print(json.dumps({"calls": calls, "failures": failures, "last": last}))
"""


class Exchange:
    """Calls that go on from before the request for another key until they are told to stop."""

    def __init__(self, live: Live, backend: Backend) -> None:
        found = ready(live, NAME)
        self._live = live
        self.key = Ref("Secret", f"signing-key-{found['metadata']['uid']}", "bulkhead-system")
        self.old = self.published()
        self.first = self.token()
        self._stopped = threading.Event()
        self._process = subprocess.Popen(
            ["kubectl", "exec", "-i", "-n", backend.namespace, backend.pod, "--", "python3", "-c", _CALLS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # One clock for both: nodes and tests are one machine; ten seconds of a token's time are left unused.
        self._send(
            json.dumps(
                {
                    "url": f"{found['status']['gateway']['url']}/v1/session",
                    "token": self.first,
                    "until": time.time() + 590,
                }
            )
        )
        self._feeder = threading.Thread(target=self._feed)
        self._feeder.start()

    def published(self) -> set[str]:
        """Ids of the keys that gateways shall accept."""
        data = self._live.get(self.key)["data"]
        return set(Jwks.parse(base64.b64decode(data["jwks.json"]).decode()).keys)

    def summary(self) -> dict[str, Any]:
        """How many calls were made, and each that was not answered with 200; ends them."""
        self._stopped.set()
        self._feeder.join()
        out, _ = self._process.communicate(timeout=30)
        found: dict[str, Any] = json.loads(out)
        return found

    def end(self) -> None:
        """Whatever happened, nothing goes on."""
        self._stopped.set()
        self._feeder.join()
        self._process.kill()
        self._process.communicate()

    def token(self) -> str:
        """A fresh one, by the product's own command."""
        return token(NAME, user="alice", scopes=("session",), ttl="10m")

    def _feed(self) -> None:
        while not self._stopped.is_set():
            self._send(self.token())
            self._stopped.wait(FRESH_EVERY_SECONDS)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def key_id(signed: str) -> str:
    """The id of the key that signed a token."""
    header = signed.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


@pytest.fixture(scope="session")
def exchange(live: Live, backend: Backend) -> Iterator[Exchange]:
    """A workspace that is in use and was asked for another key."""
    live.apply(workspace(NAME, className="cluster-tests"))
    found = Exchange(live, backend)
    request = datetime.now(UTC).isoformat()
    live.merge(
        Ref("TenantWorkspace", NAME),
        {"metadata": {"annotations": {"bulkhead.dev/rotate-signing-key": request}}},
    )
    yield found
    found.end()
    live.delete(Ref("TenantWorkspace", NAME))


def test_the_next_key_is_published_before_it_signs(exchange: Exchange) -> None:
    """KEY-001: signed with earlier, its tokens would be refused by gateways that do not have it yet."""
    both = wait_until(
        "two public keys", lambda: len(now := exchange.published()) == 2 and now, timeout_seconds=60
    )

    assert both > exchange.old
    assert exchange.old == {key_id(exchange.first)} == {key_id(exchange.token())}


@pytest.mark.timeout(TURN_SECONDS + 60)
def test_no_call_is_refused_while_the_keys_turn(live: Live, exchange: Exchange) -> None:
    """KEY-002: the old key's tokens are good to their end, and the new key's from the first moment."""
    turned = wait_until(
        "the new key signs",
        lambda: {signed := key_id(exchange.token())} != exchange.old and signed,
        timeout_seconds=TURN_SECONDS,
        interval_seconds=5,
        describe=lambda: str(live.get(exchange.key)["metadata"].get("annotations")),
    )
    since = live.get(exchange.key)["metadata"]["annotations"]["bulkhead.dev/signs-since"]
    time.sleep(FRESH_EVERY_SECONDS + 2)  # the calls go on with a token of the new key

    seen = exchange.summary()

    assert turned in exchange.published()
    assert seen["failures"] == []
    assert seen["calls"] > TURN_SECONDS / 2
    assert seen["last"]["first"] > datetime.fromisoformat(since).timestamp(), "the old token, after the turn"
    assert seen["last"]["newest"] > datetime.fromisoformat(since).timestamp() + 2
