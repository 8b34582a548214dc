"""What one user and one tenant may spend: reserve before a call, settle after it, carry debt."""

from bulkhead_sandbox.gateway.limits.admission import Admission
from bulkhead_sandbox.gateway.limits.amounts import NO_TOKENS, Estimate, Usage
from bulkhead_sandbox.gateway.limits.estimates import Ratio
from bulkhead_sandbox.gateway.limits.limiter import Limiter

__all__ = ["NO_TOKENS", "Admission", "Estimate", "Limiter", "Ratio", "Usage"]
