"""What goes wrong between here and a cluster's dashboard, each in one sentence with its remedy."""

import re
from collections.abc import Generator
from contextlib import contextmanager

import ray.exceptions
from ray.util.state.exception import RayStateApiException
from requests.exceptions import RequestException

from cluster.machines.papers import ClusterAddress
from orchestration.errors import InfrastructureError, NotFoundError

NO_DASHBOARD = "check the address: it is the dashboard's, http://HOST:8265 unless changed"


class AlreadyThereError(Exception):
    """A job of this id exists."""


@contextmanager
def in_our_words(address: ClusterAddress) -> Generator[None]:
    """Ray's complaints become ours."""
    url = address.dashboard_url
    try:
        yield
    except ray.exceptions.AuthenticationError as error:
        raise _token_trouble(address) from error
    except (RequestException, ConnectionError, OSError) as error:
        raise InfrastructureError(
            f"the Ray dashboard at {url} does not answer as one ({type(error).__name__})",
            NO_DASHBOARD,
            str(error)[:1000],
        ) from error
    except (RayStateApiException, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _refusal(url, str(error)) from error


def _token_trouble(address: ClusterAddress) -> InfrastructureError:
    where = f" ({address.token_path})" if address.token_path else ""
    return InfrastructureError(
        f"the Ray dashboard at {address.dashboard_url} refuses this token{where}",
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with the cluster's token",
    )


def _refusal(url: str, said: str) -> Exception:
    """What an answer means that Ray's client did not like."""
    if "already exists" in said:
        return AlreadyThereError(said)
    if re.search(r"status code 404.*does not exist|does not exist", said, re.DOTALL):
        return NotFoundError("the cluster knows no such job", "see `manta queue`")
    if found := re.search(r"Ray version (\S+) is running", said):
        return InfrastructureError(
            f"the cluster at {url} runs Ray {found[1]}, which is too old for this program",
            f"use Ray {ray.__version__} on both sides",
        )
    if re.search(r"status code (401|403)", said):
        return _token_trouble(ClusterAddress("", dashboard_url=url))
    if "Version check returned 404" in said or "JSON" in said:
        return InfrastructureError(
            f"what answers at {url} is no Ray dashboard",
            NO_DASHBOARD,
        )
    lines = [each.strip() for each in said.splitlines() if each.strip(" .")]
    return InfrastructureError(
        f"the Ray dashboard at {url} failed: {lines[-1][:300] if lines else 'it does not say why'}",
        "try again; the logs are with the dashboard, on the cluster's head",
        said[-2000:],
    )
