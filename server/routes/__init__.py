"""Routes beside LangServe's: one file per subject."""
