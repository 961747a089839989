def changed(settings, section, **values):
    """The same settings with some of a section's keys changed."""
    return settings.change(**{section: values})
