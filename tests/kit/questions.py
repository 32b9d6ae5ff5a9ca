"""What people ask about the handbook, and the pages that answer it (any of them)."""

from __future__ import annotations

QUESTIONS: dict[str, str] = {
    "How do I rotate an API key?": "security.md cli.md",
    "How can I connect to Ollama running on my laptop?": "models.md README.md getting-started.md",
<<<<<<< HEAD
    "Can I use PostgreSQL instead of SQLite?": "operations.md configuration.md database.md",
=======
    "Can I use PostgreSQL instead of SQLite?": "database.md operations.md configuration.md",
>>>>>>> br2
    "How do I back up my data?": "operations.md",
    "What happens if the server crashes in the middle of an answer?": "runs.md threads.md",
    "How do I add my own tool?": "tools.md README.md",
    "Why do I get a 409 when I send a message?": "threads.md runs.md http-api.md",
    "How do I put my PDF folder into search?": "sources.md",
    "Is anything sent to the cloud?": "security.md models.md",
    "How do I delete old conversations automatically?": "history.md operations.md",
    "How do I approve a tool call?": "people.md",
    "Which environment variables can I set?": "configuration.md",
    "How do I change the port?": "getting-started.md configuration.md operations.md cli.md",
    "How do I see token usage and cost?": "observability.md models.md http-api.md",
    "How do I verify the signature of a webhook?": "events.md",
    "Can several users share one server?": "security.md operations.md",
    "How do I log in with Keycloak?": "security.md",
    "How large may an uploaded file be?": "files.md operations.md http-api.md configuration.md",
    "How do I store files on S3?": "files.md",
    "How do I call it from a Jupyter notebook?": "python.md",
    "How do I resume a stream after losing the connection?": "runs.md threads.md http-api.md",
    "How do I schedule a daily run?": "runs.md",
    "Where are the log files?": "observability.md operations.md configuration.md",
    "How do I monitor it with Prometheus?": "observability.md operations.md",
    "What does the circuit breaker do?": "resilience.md",
    "How do I write a new module?": "modules.md",
    "How do I test my module?": "testing.md modules.md",
    "How do I undo a message and ask something else?": "history.md threads.md",
    "How do I export a chat to markdown?": "history.md cli.md",
    "What happens with very long conversations?": "growth.md threads.md",
    "How do I use a fallback model when the first is down?": "models.md resilience.md",
    "How do I run several workers?": "operations.md tasks.md",
    "How do I limit who can see a document source?": "sources.md security.md",
    "How do I cache answers in Redis?": "cache.md",
    "Why was my tool server restarted?": "tool-servers.md tools.md",
    "How do I upgrade to a new version safely?": "deploy.md operations.md",
    "Can I see the graph in LangGraph Studio?": "studio.md",
    "How do I replay a failed turn?": "debugging.md",
    "What do I need to install?": "getting-started.md README.md",
    "How do I reload configuration without restarting?": "configuration.md operations.md",
    "How do I cancel a running request?": "runs.md http-api.md cli.md",
    "What is sent to the model?": "models.md",
    "How do I find a message I wrote last week?": "history.md",
    "How do I get notified when a run is finished?": "events.md runs.md",
    "Can a tool ask the user a question?": "people.md tool-servers.md tools.md",
    "How fast is it?": "quality.md",
    "How do I hide a tool from some users?": "tools.md security.md",
    "How do citations work?": "sources.md",
}

# In German: words alone may miss these.
GERMAN: dict[str, str] = {
    "Wie sichere ich meine Daten?": "operations.md",
    "Wie starte ich den Dienst?": "getting-started.md operations.md",
    "Wie füge ich ein eigenes Werkzeug hinzu?": "tools.md",
    "Wie groß darf eine Datei sein?": "files.md operations.md",
    "Kann ich PostgreSQL benutzen?": "operations.md configuration.md",
    "Wie lösche ich einen Thread?": "history.md threads.md",
    "Was passiert bei einem Timeout?": "resilience.md tools.md tool-servers.md models.md",
    "Wie funktioniert der Cache?": "cache.md",
}

# Nothing in the handbook answers these.
ELSEWHERE = (
    "What is the capital of Peru?",
    "Who won the football world cup?",
    "Tell me a joke about penguins",
    "What is 5 + 3?",
    "What's the weather like in Paris tomorrow?",
    "How do I bake sourdough bread?",
    "Hello, how are you?",
    "Translate good morning into Italian",
    "17 23",
    "thanks!",
)
