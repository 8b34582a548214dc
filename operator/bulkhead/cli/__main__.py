"""`python -m bulkhead.cli`."""

from bulkhead.cli.main import main

raise SystemExit(main())
