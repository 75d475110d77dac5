"""Tests of service.redis, on a real Valkey."""
