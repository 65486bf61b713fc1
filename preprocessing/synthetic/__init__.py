"""The embedded corpus: drawn faces, action units as displacement fields, frames, and the truth behind them."""
