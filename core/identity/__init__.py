"""Who calls: keys, OIDC or a proxy become a principal. What a principal may use is `core.access`'s business."""
