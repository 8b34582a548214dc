"""The two kinds as frozen models, and everything that is generated from them."""
