"""Parts: each draws one thing that pages share."""
