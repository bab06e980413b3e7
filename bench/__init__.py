"""The benchmark: `python -m bench` measures the service beside what one would write instead. See docs/benchmark.md."""
