"""`python -m bulkhead.issuer`: the issuer."""

from bulkhead.issuer.main import main

raise SystemExit(main())
