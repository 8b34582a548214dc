"""A small synchronous view of a live cluster for the demo, the tests and the benchmarks.

It reads kubeconfig by the `kubernetes` package and then speaks plain REST: a demo that measures milliseconds
must not spend them in client models.
"""

from __future__ import annotations

from kubelive.kubectl import kubectl
from kubelive.live import BREAK_GLASS, ApiRefusal, Live, Ref, Resource
from kubelive.waiting import WaitTimeout, wait_until

__all__ = ["BREAK_GLASS", "ApiRefusal", "Live", "Ref", "Resource", "WaitTimeout", "kubectl", "wait_until"]
