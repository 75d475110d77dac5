"""Tests: they mirror the packages, with what they share in tests.support."""
