"""What was said and done in threads: look back, fork, compare, search, take out, bring in, delete."""
