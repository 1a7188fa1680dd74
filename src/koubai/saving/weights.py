"""A network in one file, and weights by name into a network that is there."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from koubai.arrays import dtype_name
from koubai.backend import Device, device_of, get_default_device, to_numpy
from koubai.backend import device as select_device
from koubai.errors import ArchitectureError, NotAnArrayError, SavingError
from koubai.networks import Network
from koubai.networks.parameters import locate, locate_state
from koubai.saving.architecture import build, describe
from koubai.saving.sealed import read, seal, understood
from koubai.saving.whole import write_whole
from koubai.typing import Array

__all__ = ["Unmatched", "load_network", "load_weights", "save_network"]

_SAVE, _LOAD, _WEIGHTS = "save", "load", "load_weights"


class Unmatched(NamedTuple):
    """
    What `load_weights` found no partner for.

    Attributes
    ----------
    missing : tuple of str
        Arrays of the network that the source does not have; they stay as they were.
    unexpected : tuple of str
        Arrays of the source that the network does not have.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def save_network(network: Network, path: str | PathLike[str]) -> None:
    """
    Write a network into one safetensors file: its arrays by name, and what it is made of.

    The file is the same from every backend and device, and there whole or not at all.

    Parameters
    ----------
    network : Network
        The network; its arrays keep their dtypes.
    path : str or Path
        The file, by custom ``*.safetensors``. One that is there is replaced.

    Raises
    ------
    ArchitectureError
        If a layer was made with something that a file cannot hold.
    SavingError
        If the file cannot be written; one that was there stays.
    DTypeError
        If an array is of a dtype that the format does not have.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import koubai
    >>> net = koubai.TwoLayerNet(4, 3, 2, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_network(net, Path(folder) / "net.safetensors")
    ...     load_network(Path(folder) / "net.safetensors")
    TwoLayerNet(Affine(4, 3), Relu(), Affine(3, 2), SoftmaxWithLoss()):
    23 parameters, float32 on numpy
    """
    notes = {"kind": "network", "architecture": describe(network)}
    data = seal(_SAVE, _arrays(network), notes)
    try:
        write_whole(Path(path), data)
    except OSError as error:
        raise SavingError(
            f"{_SAVE}: {fspath(path)} cannot be written: {error}. Make room, give the permission, "
            "or make the folder; what was there before is as it was."
        ) from error


def load_network(
    path: str | PathLike[str], device: str | Device | None = None, dtype: str | None = None
) -> Network:
    """
    Build the network that `save_network` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    device : str or Device, optional
        Where the arrays shall be; by default the default device.
    dtype : str, optional
        The floating-point dtype they shall have; by default the one they were saved in.

    Returns
    -------
    Network
        Of the class that was saved.

    Raises
    ------
    SavingError
        If the file cannot be read, is altered, or holds no network.
    ArchitectureError
        If it names a class that is not known here.
    DTypeError
        If the device does not have the dtype.
    """
    place = get_default_device() if device is None else select_device(device)
    contents = read(_LOAD, path)
    where = f"{_LOAD}: {fspath(path)}"
    found = (contents.notes or {}).get("kind")
    if found == "checkpoint":
        raise SavingError(
            f"{where} is a checkpoint of a training, not a network. "
            "koubai.saving.Checkpoint.read(path) reads it."
        )
    if contents.notes is None or found != "network":
        raise SavingError(
            f"{where} holds arrays ({_some(contents.arrays)}), but does not tell of what network: "
            "koubai did not write it. Build the network, then network.load_weights(path)."
        )
    with understood(where):
        description = contents.notes["architecture"]
        arrays = {
            key: place.asarray(array, dtype=dtype if array.dtype.kind == "f" else None)
            for key, array in contents.arrays.items()
        }
        return build(where, description, arrays, place)


def load_weights(
    network: Network,
    source: str | PathLike[str] | Mapping[str, Array],
    *,
    strict: bool = True,
) -> Unmatched:
    """
    Put weights into a network by their names, all of them or none.

    Parameters
    ----------
    network : Network
        The network; it keeps its device and its dtypes.
    source : str, Path, or mapping of str to Array
        A safetensors file of any origin, or arrays of any backend.
    strict : bool
        Whether the names must be the same; if not, those that both have are loaded.

    Returns
    -------
    Unmatched
        The names that only one of them has; none if ``strict``.

    Raises
    ------
    ArchitectureError
        If the names or shapes differ; all that is wrong is listed, and nothing is changed.
    SavingError
        If the file cannot be read, or is altered.

    Examples
    --------
    >>> import koubai
    >>> net, other = (koubai.TwoLayerNet(4, 3, 2, rng=seed) for seed in (0, 1))
    >>> load_weights(net, {"W1": other.params["W1"]}, strict=False)
    Unmatched(missing=('b1', 'W2', 'b2'), unexpected=())
    """
    given: Mapping[str, Any]
    if isinstance(source, Mapping):
        where, given = "the given dict", source
    else:
        where, given = fspath(source), read(_WEIGHTS, source).arrays
    places = locate(network.layers) | locate_state(network.layers)
    wanted = _arrays(network)
    missing = tuple(key for key in wanted if key not in given)
    unexpected = tuple(key for key in given if key not in places)
    host = {key: _on_host(key, array) for key, array in given.items() if key in places}
    misshapen = [
        f"{key} is of shape {host[key].shape}, wanted {tuple(wanted[key].shape)}"
        for key in wanted
        if key in host and host[key].shape != tuple(wanted[key].shape)
    ]
    strange = strict and (missing or unexpected)
    if misshapen or strange or (given and not host):
        raise _mismatch(network, where, (missing, unexpected), misshapen)
    home = network.device or get_default_device()
    loaded = {key: _fitted(key, array, wanted.get(key), home) for key, array in host.items()}
    for key, array in loaded.items():
        layer, name = places[key]
        setattr(layer, name, array)
        vars(layer).pop(f"d{name}", None)
    return Unmatched(missing, unexpected)


def _arrays(network: Network) -> dict[str, Array]:
    places = locate(network.layers) | locate_state(network.layers)
    found: dict[str, Any] = {
        key: getattr(layer, name, None) for key, (layer, name) in places.items()
    }
    return {key: value for key, value in found.items() if hasattr(value, "dtype")}


def _on_host(key: str, array: Any) -> npt.NDArray[Any]:
    try:
        return to_numpy(array)
    except NotAnArrayError as error:
        raise NotAnArrayError(f"{_WEIGHTS}: {key}: {error}") from error


def _fitted(key: str, host: npt.NDArray[Any], old: Array | None, home: Device) -> Array:
    """Give the array on the device and in the dtype of the one whose place it takes."""
    if old is None:
        return home.asarray(host, copy=True)
    if not np.can_cast(host.dtype, dtype_name(old), "same_kind"):
        raise ArchitectureError(
            f"{_WEIGHTS}: {key} is {host.dtype.name}, which would lose what makes it so in the "
            f"network's {dtype_name(old)}. Convert it first, if that is meant."
        )
    try:
        with np.errstate(over="raise"):
            cast = host.astype(dtype_name(old))
    except FloatingPointError as error:
        raise ArchitectureError(
            f"{_WEIGHTS}: {key} holds numbers that are too large for the network's "
            f'{dtype_name(old)}. network.astype("{host.dtype.name}") makes room for them.'
        ) from error
    return (device_of(old) or home).asarray(cast)


def _mismatch(
    network: Network,
    where: str,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    misshapen: list[str],
) -> ArchitectureError:
    missing, unexpected = names
    lines = [
        f"\n  missing there: {', '.join(missing)}" * bool(missing),
        f"\n  unexpected there: {', '.join(unexpected)}" * bool(unexpected),
        "".join(f"\n  {line}" for line in misshapen),
    ]
    return ArchitectureError(
        f"{_WEIGHTS}: {where} does not fit this {type(network).__name__}, and nothing was "
        f"loaded:{''.join(lines)}\n"
        "Build the network that the weights are from, or rename the arrays in a dict; "
        "strict=False loads the names that both have, if their shapes agree."
    )


def _some(arrays: Mapping[str, object]) -> str:
    names = list(arrays)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
