"""Protocols, scores, reports and the command line."""
