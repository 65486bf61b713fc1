#!/usr/bin/env bash
# OpenCV, VideoCapture.read() on an interlaced video.
# One would guess: read() returns the picture, or False where it cannot.
# What happens: the conversion of a frame that is flagged as interlaced fails inside (swscale refuses it), read() returns
# True all the same, and the array does not hold the frame: it holds an earlier one, or black. PyAV decodes the file.
# Exits with 1 when that is no longer so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$work/packages" \
  opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6 imageio-ffmpeg==0.8.1
cd "$work"
PYTHONPATH="$work/packages" OPENCV_FFMPEG_LOGLEVEL=-8 "${PYTHON:-python3}" - <<'PY'
import subprocess, sys

import av, cv2, imageio_ffmpeg, numpy as np

make = "-f lavfi -i testsrc2=size=320x240:rate=30:duration=1 -c:v libx264 -flags +ildct+ilme -x264opts tff=1 -pix_fmt yuv420p"
subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *make.split(), "interlaced.mp4"], check=True)
truth = [frame for frame in av.open("interlaced.mp4").decode(video=0)]
pictures = [frame.to_ndarray(format="bgr24") for frame in truth]
capture, returned, errors = cv2.VideoCapture("interlaced.mp4", cv2.CAP_FFMPEG), 0, []
while True:
    ok, image = capture.read()
    if not ok:
        break
    errors.append(float(np.abs(image.astype(int) - pictures[returned]).mean()))
    returned += 1
print(f"OpenCV {cv2.__version__}, PyAV {av.__version__}")
print(f"{len(truth)} frames, {sum(f.interlaced_frame for f in truth)} flagged as interlaced")
print(f"read() returned True {returned} times; mean difference from the picture: {min(errors):.1f} to {max(errors):.1f} grey levels")
sys.exit(0 if returned == len(truth) and min(errors) > 10 else 1)
PY
