"""Figures as JSON lines: {name, value, unit, ratio_to, n, machine}."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Figure", "machine", "median", "percentile", "write"]

RESULTS = Path(__file__).resolve().parent / "results" / "figures.jsonl"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `ratio_to` names what it was measured against in the same run."""

    name: str
    value: float
    unit: str
    n: int
    ratio_to: str = ""


def machine() -> str:
    """Cores, memory and kernel: absolute values mean little without them."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores, {pages / 2**30:.0f} GiB, Linux {platform.release()}"


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank: always a value that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]


def write(figure: Figure) -> None:
    """Print the figure and append it to bench/results/figures.jsonl."""
    line = asdict(figure) | {"value": round(figure.value, 4), "machine": machine()}
    text = json.dumps(line)
    print(text, flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(text + "\n")
