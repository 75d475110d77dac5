"""Tests of service.media."""
