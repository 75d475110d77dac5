"""Tests of the whole service, run as users run it."""
