"""Run inside a machine with the kernel's test camera."""
