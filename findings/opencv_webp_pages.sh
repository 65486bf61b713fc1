#!/usr/bin/env bash
# OpenCV, imreadmulti(file, start, count) on an animated WebP file.
# One would guess: pictures start, start + 1, …, as for TIFF.
# What happens: the first `count` pictures, whatever `start` is; it returns True. Pillow's seek() gives the right ones.
# Exits with 1 when that is no longer so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$work/packages" \
  opencv-python-headless==5.0.0.93 numpy==2.4.6 pillow==13.0.0
cd "$work"
PYTHONPATH="$work/packages" "${PYTHON:-python3}" - <<'PY'
import sys

import cv2, numpy as np, PIL
from PIL import Image

levels = [np.full((20, 30, 3), 50 * t, np.uint8) for t in range(5)]
first, *rest = [Image.fromarray(level) for level in levels]
first.save("a.webp", save_all=True, append_images=rest, lossless=True)
cv2.imwritemulti("a.tif", levels)
found = {}
for suffix in ("tif", "webp"):
    done, pages = cv2.imreadmulti(f"a.{suffix}", 2, 2, flags=cv2.IMREAD_COLOR)
    found[suffix] = [int(page.mean()) for page in pages]
    print(f"OpenCV {cv2.__version__}, {suffix}, pages 2 and 3 of 0 50 100 150 200: {done}, {found[suffix]}")
with Image.open("a.webp") as file:
    file.seek(2)
    print(f"Pillow {PIL.__version__}: {int(np.asarray(file.convert('RGB')).mean())}")
sys.exit(0 if found == {"tif": [100, 150], "webp": [0, 50]} else 1)
PY
