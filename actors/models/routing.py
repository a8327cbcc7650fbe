"""Which model thinks for whom: a route per role and difficulty, with fallbacks in order."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from actors.models.gateway import Role
from orchestration.errors import UsageError
from orchestration.messages import Difficulty, Frozen

ROLES: tuple[Role, ...] = get_args(Role)
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
DEFAULT = "default"


class Route(Frozen):
    """One way to a model, and what to try when it fails for good."""

    model: str = Field(min_length=1)
    """Provider and name, such as `anthropic/claude-sonnet-4-5` or `ollama/qwen3`."""
    fallbacks: tuple["Route", ...] = ()
    """Tried in order: tables like this one, or plain names of models."""
    api_base: str | None = None
    """The endpoint's URL, for a server that is not the provider's own."""
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The variable that holds the key, where it is not the provider's usual one."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1)
    context_tokens: int | None = Field(default=None, ge=1000)
    """The context window, where the price table does not know it or is wrong."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Of one attempt; of each wait for a chunk when streaming."""
    stream: bool = False
    tools: Literal["auto", "native", "text"] = "auto"
    """How tools are offered: by the provider's own means, or written into the prompt for models
    that know none. `auto` goes by the price table."""
    answers: Literal["auto", "strict", "plain"] = "auto"
    """Whether the provider is asked to hold the model to the schema of its answer. `auto` goes by
    litellm's table; a provider that refuses is asked once."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """What the provider allows this model and key, for the whole fleet; none means no limit."""
    usd_per_million: tuple[float, float] | None = None
    """Price of tokens in and out, where the price table does not know the model."""
    options: Mapping[str, Any] = {}
    """Passed to the provider as they are, such as `reasoning_effort`. Never a key."""

    @model_validator(mode="before")
    @classmethod
    def _complete_fallbacks(cls, data: object) -> object:
        """A fallback of the same provider inherits what it does not say."""
        if not isinstance(data, Mapping) or not isinstance(data.get("fallbacks"), list | tuple):
            return data
        own = {name: value for name, value in data.items() if name != "fallbacks"}
        fallbacks = tuple(_inherit(own, other) for other in data["fallbacks"])
        return {**own, "fallbacks": fallbacks}

    @field_validator("options")
    @classmethod
    def _holds_no_key(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if found := [name for name in value if "key" in name.lower() or name.lower() == "token"]:
            raise ValueError(f"{found[0]} is a secret: name its variable in key_env instead")
        return value

    def chain(self) -> tuple["Route", ...]:
        """This route alone, then each fallback, every one complete in itself."""
        alone = self.model_copy(update={"fallbacks": ()})
        return (alone, *(way for other in self.fallbacks for way in other.chain()))


def provider_of(model: str) -> str:
    """The name before the slash; empty where the model's name stands alone."""
    return model.partition("/")[0] if "/" in model else ""


def _inherit(own: Mapping[str, object], other: object) -> object:
    said = {"model": other} if isinstance(other, str) else other
    if not isinstance(said, Mapping):
        return said
    is_same = provider_of(str(own.get("model"))) == provider_of(str(said.get("model")))
    shared = {name: value for name, value in own.items() if name != "usd_per_million"}
    return {**shared, **said} if is_same else said


class Routes(Frozen):
    """A route for every role and difficulty: its own, its role's, or the default."""

    default: Route
    roles: Mapping[str, Route] = {}
    """By `ROLE`, `ROLE:DIFFICULTY` or `default:DIFFICULTY`."""

    def of(self, role: Role, difficulty: Difficulty = "normal") -> Route:
        names = (f"{role}:{difficulty}", role, f"{DEFAULT}:{difficulty}")
        return next((self.roles[name] for name in names if name in self.roles), self.default)

    def of_role(self, role: Role) -> tuple[Route, ...]:
        """Every route that may think for the role."""
        found: list[Route] = []
        for difficulty in DIFFICULTIES:
            if (route := self.of(role, difficulty)) not in found:
                found.append(route)
        return tuple(found)

    def all(self) -> tuple[Route, ...]:
        return (self.default, *self.roles.values())


def parse_routes(settings: Mapping[str, object]) -> Routes:
    """Read `{"default": ROUTE, "coder": ROUTE, "coder:hard": ROUTE, ...}`.

    Each route is a model's name or a table of fields.

    Raises:
        UsageError: no default, an unknown role, or a field that is wrong; names the place.
    """
    known = [DEFAULT, *ROLES]
    names = {*known, *(f"{name}:{level}" for name in known for level in DIFFICULTIES)}
    if unknown := sorted(set(settings) - names):
        raise UsageError(
            f"there is no role named {', '.join(unknown)}",
            f"routes go by {', '.join(known)}, each alone or with :easy or :hard behind it",
        )
    if not settings.get(DEFAULT):
        raise UsageError("no model is chosen", "name one, such as --model anthropic/NAME")
    routes = {name: _parse_route(name, value) for name, value in settings.items()}
    default = routes.pop(DEFAULT)
    return Routes(default=default, roles={name: routes[name] for name in sorted(routes)})


def _parse_route(name: str, value: object) -> Route:
    try:
        return Route.model_validate({"model": value} if isinstance(value, str) else value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (name, *first["loc"]))
        raise UsageError(
            f"the route {place} is wrong: {first['msg']}",
            "a route is a model's name, or a table with " + ", ".join(Route.model_fields),
        ) from None
