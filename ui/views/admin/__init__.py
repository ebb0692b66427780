"""Pages of who has signed in."""
