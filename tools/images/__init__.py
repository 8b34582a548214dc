"""The operator's and the sandbox's image: `python -m images build | load | verify | refs`."""
