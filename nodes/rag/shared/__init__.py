"""An index in a bucket: one process home writes it, all others read what it published last."""
