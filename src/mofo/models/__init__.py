"""Models: encoders, the masked autoencoder, fusions, the classifier."""

from mofo.models import vit as vit  # registers the package's own encoders
