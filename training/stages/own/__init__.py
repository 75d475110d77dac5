"""The adversarial stage of our own model."""
