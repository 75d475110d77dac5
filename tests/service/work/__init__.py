"""Tests of service.work."""
