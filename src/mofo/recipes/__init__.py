"""Recipes of this package, YAML files: ``mofo pretrain --config tiny``."""
