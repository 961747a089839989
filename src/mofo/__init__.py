"""Motion-focused self-supervised video learning."""
