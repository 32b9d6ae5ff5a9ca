"""OpenAI's wire: `/v1/models`, `/v1/chat/completions`, `/v1/responses`."""
