"""The endpoints that we know, as a table. Where each line was read stands in decision 0024."""

from __future__ import annotations

from urllib.parse import urlsplit

from nodes.llm.profile import NINE, REASONING_FIELDS, SCHEMA_MENDS, Profile

__all__ = ["DEFAULT", "NINE", "PROFILES", "REASONING_FIELDS", "SCHEMA_MENDS", "Profile", "profile_for"]

DEFAULT = Profile("default", "any other endpoint")

# Models that always reason, and refuse a temperature other than 1.
_REASONS = r"o\d|gpt-5(?!-chat|\.[1-4](?!\d))|gpt-5\.[1-3]-chat|gpt-5\.1-codex|gpt-5\.[24]-pro"

_OPENAI = Profile(
    "openai",
    "OpenAI",
    hosts=("api.openai.com",),
    call_id_limit=40,
    answer_fields=(),
    answer_fields_back="never",
    call_fields=(),
    max_tokens_key="max_completion_tokens",
    ends_by="done",
    first_byte_s=300.0,
    think_tags=False,
    no_temperature=_REASONS,
)

_AZURE = Profile(
    "azure",
    "Azure OpenAI",
    hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
    paths=("/openai/deployments/",),
    call_id_limit=40,
    answer_fields=(),
    answer_fields_back="never",
    call_fields=(),
    max_tokens_key="max_completion_tokens",
    ends_by="done",
    first_byte_s=300.0,
    think_tags=False,
    no_temperature=_REASONS,
    key_header="api-key",
)

_VLLM = Profile(
    "vllm",
    "vLLM",
    # Names without a dot: what services are called in one network of containers.
    hosts=("vllm",),
    ports=(8000,),
    answer_fields=("reasoning", "reasoning_content"),
    max_tools=None,
    # Many chat templates refuse two users in a row.
    strict_roles=True,
    ends_by="done",
    first_byte_s=300.0,
)

_LLAMACPP = Profile(
    "llamacpp",
    "llama.cpp",
    hosts=("llamacpp", "llama-cpp", "llama-server"),
    ports=(8080,),
    answer_fields=("reasoning_content",),
    max_tools=None,
    # Its grammars are made from schemas, and know nothing to make from these.
    schema_mends=frozenset({"top_object", "top_combinator", "array_items", "no_formats"}),
    strict_roles=True,
    ends_by="done",
    first_byte_s=300.0,
)

_OLLAMA = Profile(
    "ollama",
    "Ollama",
    hosts=("ollama.com", "ollama"),
    ports=(11434,),
    answer_fields=("reasoning",),
    max_tools=None,
    schema_mends=frozenset({"top_object", "top_combinator", "array_items", "no_refs"}),
    ends_by="done",
    first_byte_s=300.0,
)

_LMSTUDIO = Profile(
    "lmstudio",
    "LM Studio",
    hosts=("lmstudio",),
    ports=(1234,),
    answer_fields=("reasoning_content", "reasoning"),
    bare_calls="empty",
    max_tools=None,
    strict_roles=True,
    ends_by="done",
    first_byte_s=300.0,
)

_MISTRAL = Profile(
    "mistral",
    "Mistral",
    hosts=("mistral.ai",),
    call_ids="nine",
    call_id_limit=9,
    # It refuses every field that it does not know.
    answer_fields=(),
    answer_fields_back="never",
    call_fields=(),
    bare_calls="empty",
    stream_usage="always",
    strict_roles=True,
    ends_by="done",
    think_tags=False,
    omit=("user",),
)

_DEEPSEEK = Profile(
    "deepseek",
    "DeepSeek",
    hosts=("api.deepseek.com",),
    answer_fields=("reasoning_content",),
    # Its final answer after tools counts as well, and the field must be there even when it is empty.
    answer_fields_back="always",
    padded_field="reasoning_content",
    call_fields=(),
    strict_roles=True,
    ends_by="done",
    # A request may queue for ten minutes, with comments as signs of life.
    first_byte_s=300.0,
    think_tags=False,
)

_GEMINI = Profile(
    "gemini",
    "Gemini",
    hosts=("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
    paths=("/endpoints/openapi",),
    answer_fields=("extra_content",),
    answer_fields_back="always",
    call_fields=("extra_content",),
    tool_name=r"[A-Za-z_][A-Za-z0-9_-]{0,63}",
    schema_mends=frozenset(SCHEMA_MENDS),
    ends_by="done",
    think_tags=False,
)

_GROQ = Profile(
    "groq",
    "Groq",
    hosts=("api.groq.com",),
    # It refuses `reasoning_content`, and `reasoning` for models that do not reason.
    answer_fields=(),
    answer_fields_back="never",
    call_fields=(),
    ends_by="done",
)

_OPENROUTER = Profile(
    "openrouter",
    "OpenRouter",
    hosts=("openrouter.ai",),
    answer_fields=("reasoning_details", "reasoning", "reasoning_content"),
    call_fields=("extra_content",),
    stream_usage="ask",
    ends_by="done",
    first_byte_s=300.0,
)

_LITELLM = Profile(
    "litellm",
    "LiteLLM",
    hosts=("litellm",),
    ports=(4000,),
    answer_fields=("reasoning_content", "thinking_blocks", "provider_specific_fields"),
    ends_by="done",
    first_byte_s=300.0,
    no_temperature=_REASONS,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        DEFAULT,
        _OPENAI,
        _AZURE,
        _VLLM,
        _LLAMACPP,
        _OLLAMA,
        _LMSTUDIO,
        _MISTRAL,
        _DEEPSEEK,
        _GEMINI,
        _GROQ,
        _OPENROUTER,
        _LITELLM,
    )
}


def profile_for(name: str, url: str) -> Profile:
    """The profile called `name`; for an empty name the one that the address looks like, or the default."""
    return PROFILES[name] if name else guessed(url)


def guessed(url: str) -> Profile:
    """The profile that a base URL looks like: by its host, then its path, then its port."""
    parts = urlsplit(url)
    host, path = (parts.hostname or "").lower(), parts.path.lower()
    try:
        port = parts.port
    except ValueError:
        port = None
    known = list(PROFILES.values())
    found = [p for p in known if any(host == h or host.endswith(f".{h}") for h in p.hosts)]
    found += [p for p in known if any(piece in path for piece in p.paths)]
    found += [p for p in known if port in p.ports]
    return found[0] if found else DEFAULT
