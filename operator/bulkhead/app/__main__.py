"""`python -m bulkhead.app`: the operator."""

from bulkhead.app.main import main

raise SystemExit(main())
