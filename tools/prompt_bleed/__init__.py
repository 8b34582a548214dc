"""Two tenants on one model that hands out what others asked: what gets past their gateways."""

from prompt_bleed.model import BleedingStandIn
from prompt_bleed.tally import Tally
from prompt_bleed.tenants import run

__all__ = ["BleedingStandIn", "Tally", "run"]
