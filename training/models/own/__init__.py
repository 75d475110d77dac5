"""Our own model."""
