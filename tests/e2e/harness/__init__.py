"""Starts the real programs that the end-to-end tests talk to, and stops them again."""
