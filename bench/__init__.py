"""Benchmarks: each figure stands beside the floor of the same run, since absolute times drift with the machine."""
