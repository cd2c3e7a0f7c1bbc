"""Measures the app; see docs/performance.md. Not used by the app itself."""
