"""The parts of `experiments/benchmark.py`: trials, choices among them, blends, the frontier and the summary."""
