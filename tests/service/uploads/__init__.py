"""Tests of service.uploads, on a real Valkey."""
