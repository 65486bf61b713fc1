#!/usr/bin/env bash
# OpenCV, imread() of a colour TIFF file with 16 bits a sample, as RGB.
# One would guess: IMREAD_COLOR_RGB | IMREAD_ANYDEPTH gives what IMREAD_COLOR | IMREAD_ANYDEPTH gives, with red and blue
# exchanged, as it does for PNG.
# What happens: the array that comes back holds none of the picture but what lay in memory; no error, no warning.
# Exits with 1 when that is no longer so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$work/packages" \
  opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
PYTHONPATH="$work/packages" "${PYTHON:-python3}" - <<'PY'
import sys

import cv2, numpy as np

found = {}
for seed, suffix in enumerate(("png", "tif")):
    picture = np.random.default_rng(seed).integers(0, 65536, (64, 64, 3), np.uint16)
    cv2.imwrite(f"a.{suffix}", picture)
    bgr = cv2.imread(f"a.{suffix}", cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    rgb = cv2.imread(f"a.{suffix}", cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
    found[suffix] = float((rgb == picture[..., ::-1]).mean())
    print(
        f"OpenCV {cv2.__version__}, {suffix}: right samples {(bgr == picture).mean():.0%} as BGR, {found[suffix]:.0%} as RGB"
    )
sys.exit(0 if found["png"] == 1 and found["tif"] < 0.5 else 1)
PY
