"""HTML pages made from finished runs and predictions."""
