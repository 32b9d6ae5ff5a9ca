"""What a run tells, in order: the vocabulary and the log, its rows, their writer and their readers."""
