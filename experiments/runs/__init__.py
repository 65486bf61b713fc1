"""Runs: the folder of a run, systems, folds, ablations, final models, explanations."""
