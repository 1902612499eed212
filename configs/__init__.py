"""Experiments, each a Python file with a `get_config`."""
