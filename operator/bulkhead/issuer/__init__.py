"""The issuer: session tokens for whoever the API server says may have them."""
