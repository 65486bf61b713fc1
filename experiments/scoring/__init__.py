"""Prediction tables to numbers: protocols, metrics, intervals. Pure."""
