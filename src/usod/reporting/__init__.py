"""Showing what was measured: tables beside the published ones, figures, model cards, the report's page."""
