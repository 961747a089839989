import dataclasses


def changed(settings, section, **values):
    """The same settings with some of a section's keys changed."""
    part = dataclasses.replace(getattr(settings, section), **values)
    return dataclasses.replace(settings, **{section: part})
