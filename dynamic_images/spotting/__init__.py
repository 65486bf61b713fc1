"""Find intervals of movement in long videos."""
