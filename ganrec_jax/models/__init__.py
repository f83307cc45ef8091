"""Networks as pure `init` and `apply`; no input or output."""
