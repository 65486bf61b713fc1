"""From files to aligned faces and optical flow."""
