"""Benchmarks: this library beside PyTorch and NumPy on the same machine.

python -m benchmarks.run [NAME ...] [--json FILE] [--quick]
"""
