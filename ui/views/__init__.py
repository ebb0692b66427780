"""Pages: each composes parts from what the store answers."""
