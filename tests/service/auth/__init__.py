"""Tests of service.auth, on a real Valkey."""
