"""Derive seeds from names instead of order, so that resuming and parallel folds change nothing."""

from __future__ import annotations

import hashlib

import torch


def fold_seed(seed: int, subject: str) -> int:
    """Seed of the fold that leaves ``subject`` out, in ``0 .. 2**63 - 1``; equal on every machine and in every process.

    Python's own ``hash`` is salted per process and would not do.
    """
    digest = hashlib.blake2b(f"{seed}/{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose (``"order"``, ``"augment"``): drawing more for one shifts no other."""
    return torch.Generator().manual_seed(fold_seed(seed, purpose))
