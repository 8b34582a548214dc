"""The test cluster: `python -m cluster up` makes it, `down` leaves nothing of it."""
