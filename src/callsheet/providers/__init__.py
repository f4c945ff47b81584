"""The trackers callsheet knows by name, each in a package of its own that is imported on first use."""
