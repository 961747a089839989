"""The demonstration: everything that mofo does, in one folder, in minutes."""
