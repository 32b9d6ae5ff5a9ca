"""The same graph under `langgraph dev`: without our checkpointer, with our logins, with its stream's ids."""
