"""Tests of `graph.insight`."""
