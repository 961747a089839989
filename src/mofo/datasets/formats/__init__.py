"""Data sets as they are published, read where they lie: one module for each layout."""
