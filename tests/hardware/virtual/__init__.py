"""Run inside a machine with libcamera's virtual pipeline."""
