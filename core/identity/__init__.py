"""Who calls: keys, OIDC or a proxy become a principal; `core.access` says what one may use."""
