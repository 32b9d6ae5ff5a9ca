"""No vendor stands behind configuration: the catalogues are other modules, joined by the composition root."""
