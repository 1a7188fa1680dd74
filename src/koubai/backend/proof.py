"""The proof that a device works: an import shows nothing, a matrix product does."""

import numpy as np

from koubai.backend.contract import Backend
from koubai.backend.place import Device
from koubai.errors import DeviceNotAvailableError, KoubaiError

__all__ = ["failure", "prove", "prove_gpu"]

_proved: set[Device] = set()


def prove(backend: Backend, rest: str) -> Device:
    """Give the device that ``rest``, what follows the colon, names in a backend, if it works."""
    try:
        names = backend.devices()
        name = backend.resolve(rest) if names else rest
        missing = "" if name in names else backend.explain(name)
        place = Device(backend, name)
        if not missing and place not in _proved:
            _run_matrix_product(place)
            _proved.add(place)
    except KoubaiError:
        raise
    except Exception as error:
        raise DeviceNotAvailableError(failure(backend, rest, error)) from error
    if missing:
        raise DeviceNotAvailableError(missing)
    return place


def prove_gpu(backend: Backend, number: int) -> Device:
    """Give a GPU of a backend by its number, or raise the reason why there is none."""
    try:
        gpus = backend.gpus()
        if number < len(gpus):
            return prove(backend, gpus[number])
        reason = (
            f"{backend.name} has no GPU {number}; it has {', '.join(gpus)}."
            if gpus
            else backend.explain(backend.resolve("cuda"))
        )
    except KoubaiError:
        raise
    except Exception as error:
        raise DeviceNotAvailableError(failure(backend, "", error)) from error
    raise DeviceNotAvailableError(reason)


def failure(backend: Backend, device: str, error: Exception) -> str:
    """Tell of an error that a library or its driver raised, and of the remedy."""
    first_line = str(error).strip().partition("\n")[0]
    what = "this device does not work" if device else "no device works"
    return (
        f"{Device(backend, device)}: {backend.library} is installed, but {what}: "
        f"{type(error).__name__}: {first_line}. {backend.remedy}"
    )


def _run_matrix_product(place: Device) -> None:
    with place.backend.scope(place.name):
        x = place.backend.from_numpy(np.asarray([[1, 2], [3, 4]], np.float32), place.name)
        product = x @ x
        place.synchronize()
        found = place.backend.to_numpy(product).tolist()
    if found != [[7, 10], [15, 22]]:
        raise DeviceNotAvailableError(
            f"{place}: a matrix product gave {found} instead of [[7, 10], [15, 22]]. The device "
            f"or its driver is not to be trusted. {place.backend.remedy}"
        )
    if (landed := place.backend.device_of(product)) != place.name:
        raise DeviceNotAvailableError(
            f"{place}: a matrix product of its arrays landed on {Device(place.backend, landed)}. "
            f"{place.backend.remedy}"
        )
