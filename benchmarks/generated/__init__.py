"""Generated clips with exact truth, for benchmarks and tests: cut-outs over real photographs."""
