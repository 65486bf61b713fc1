"""FDP: frame ranking by a local-global transformer."""
