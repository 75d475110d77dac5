"""Tests of service.access, on a real Valkey."""
