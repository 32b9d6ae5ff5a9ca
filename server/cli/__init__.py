"""Every command of `waystation`; each module adds its own beside them."""
