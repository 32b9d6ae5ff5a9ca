"""The section `auth`: how callers are told apart."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from core.callers import USER_PATTERN, WORD_PATTERN, Scope
from core.settings.declare import Strict

Login = Literal["keys", "oidc", "proxy"]
Mode = Literal["none", "keys", "oidc", "proxy"]
# Signatures only that nobody can make who can check them: no HS…, no none.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Word = Annotated[str, Field(pattern=WORD_PATTERN)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
SECRET_LENGTH = 16


class OidcSettings(Strict):
    """Tokens of an OpenID Connect issuer, and the login of browsers at its page."""

    issuer: str = Field("", description="Its URL, exactly as the claim `iss` has it.")
    audience: list[str] = Field(default_factory=list, description="Tokens for any of these are accepted.")
    jwks_url: str = Field("", description="Where its keys stand; empty: from its discovery document.")
    algorithms: list[Algorithm] = Field(
        default=["RS256", "ES256"], min_length=1, description="Signatures that are accepted."
    )
    user_claim: str = Field("sub", min_length=1, description="The claim with the user's id.")
    groups_claim: str = Field(
        "groups", description="The claim with the groups; a.b looks into a; empty: none."
    )
    levels_claim: str = Field("", description="The claim with the levels; empty: no levels.")
    scopes_claim: str = Field("", description="The claim with the scopes; empty: `scopes` for everybody.")
    scopes: list[Scope] = Field(default=["use"], description="What everybody may do where no claim says.")
    leeway_s: float = Field(30, ge=0, le=300, description="How far clocks may differ, in seconds.")
    client_id: str = Field(
        "",
        max_length=255,
        description="Under which the issuer knows the console; with it, people log in at the issuer's page.",
    )
    client_secret: SecretStr | None = Field(
        None, min_length=1, description="Of that client; empty: a public one, which PKCE alone protects."
    )
    client_scopes: list[Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,128}$")]] = Field(
        default=["openid", "profile", "email"],
        max_length=20,
        description="What the console asks the issuer for; `openid` always.",
    )
    name: str = Field("", max_length=40, description='On the button "Log in with ..."; empty: its host.')

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("must start with https:// (or http://)")
        return value


class ProxySettings(Strict):
    """A proxy in front that knows the users and names them in headers."""

    addresses: list[str] = Field(
        default_factory=list, description="Where it calls from: addresses or networks (10.0.0.0/8)."
    )
    secret: SecretStr = Field(
        SecretStr(""), description=f"Sent by it with each request; at least {SECRET_LENGTH} characters."
    )
    secret_header: HeaderName = Field("X-Proxy-Secret", description="The header with the secret.")
    user_header: HeaderName = Field("X-Forwarded-User", description="The header with the user's id.")
    groups_header: HeaderName | Literal[""] = Field(
        "X-Forwarded-Groups", description="The header with the groups, by comma; empty: none."
    )
    levels_header: HeaderName | Literal[""] = Field(
        "", description="The header with the levels; empty: none."
    )
    scopes_header: HeaderName | Literal[""] = Field(
        "", description="The header with the scopes; empty: `scopes` for everybody."
    )
    scopes: list[Scope] = Field(default=["use"], description="What everybody may do where no header says.")

    @field_validator("addresses")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for text in value:
            ipaddress.ip_network(text)  # its ValueError names the text and what is wrong
        return value


class Person(Strict):
    """What a user may see in whose name somebody else asks."""

    groups: list[Word] = Field(default_factory=list, description="Their groups.")
    levels: list[Word] = Field(default_factory=list, description="Their levels; * for all.")


def _one_or_several(value: Any) -> Any:
    """A list of one is that one: a variable always brings a list."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class AuthSettings(Strict):
    """Who the callers are. Mode `none`: everybody on this machine is `user`."""

    mode: Annotated[Mode | list[Login], BeforeValidator(_one_or_several)] = Field(
        "none", description="How callers are told apart; several are tried side by side."
    )
    user: str = Field("local", pattern=USER_PATTERN, description="The user in mode none.")
    groups: list[Word] = Field(default_factory=list, description="That user's groups.")
    levels: list[Word] = Field(default=["*"], description="That user's levels; * for all.")
    trust_everyone: bool = Field(
        False,
        description="The second word, beside server.allow_remote, that opens mode none to a network.",
    )
    people: dict[str, Person] = Field(
        default_factory=dict,
        description="Groups and levels of users in whose names callers with the scope `act_as` ask, by id; "
        "`*` is everybody else. They count as far as the caller has them too.",
    )
    session_hours: float = Field(
        12, gt=0, le=720, description="How long a login at the console lasts; a token's own end comes first."
    )
    session_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs those logins, the same on every replica; at least 32 characters. Empty: made once "
        "and kept in WAYSTATION_HOME.",
    )
    oidc: OidcSettings = Field(default_factory=OidcSettings, description="For mode oidc.")
    proxy: ProxySettings = Field(default_factory=ProxySettings, description="For mode proxy.")

    @property
    def logins(self) -> frozenset[Login]:
        """The ways to log in; none in mode none."""
        if isinstance(self.mode, list):
            return frozenset(self.mode)
        return frozenset() if self.mode == "none" else frozenset({self.mode})

    @model_validator(mode="after")
    def _is_whole(self) -> AuthSettings:
        if self.mode == []:
            raise ValueError("mode: is an empty list; write none, or one or several of keys, oidc, proxy")
        if "oidc" in self.logins and not (self.oidc.issuer and (self.oidc.audience or self.oidc.client_id)):
            raise ValueError(
                "mode oidc needs oidc.issuer and oidc.audience (whom tokens of programs are for) or "
                "oidc.client_id (with which people log in at the console)"
            )
        if "proxy" in self.logins:
            if not self.proxy.addresses:
                raise ValueError("mode proxy needs proxy.addresses: where the proxy calls from")
            if len(self.proxy.secret.get_secret_value()) < SECRET_LENGTH:
                raise ValueError(f"mode proxy needs proxy.secret of at least {SECRET_LENGTH} characters")
        return self
