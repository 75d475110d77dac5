"""Tests of the example images and sounds."""
