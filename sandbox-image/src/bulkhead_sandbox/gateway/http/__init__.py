"""The gateway's HTTP surface: for sessions, for the operator, and how both are answered."""
