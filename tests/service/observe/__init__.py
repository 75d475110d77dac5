"""Tests of service.observe, on a real Valkey."""
