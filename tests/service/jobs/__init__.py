"""Tests of service.jobs, on a real Valkey."""
