"""Programs that measure one build, this one or another, from outside; see `experiments.bench.against`."""
