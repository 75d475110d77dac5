"""Tests of service.api, on a real Valkey."""
