"""What is measured and what it is measured on, each a process of its own."""
