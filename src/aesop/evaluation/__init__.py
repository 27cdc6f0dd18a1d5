"""Models measured on benchmarks: `evaluate`, its results as JSON and as tables."""
