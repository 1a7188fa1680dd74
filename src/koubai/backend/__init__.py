"""Backends and devices: the contract, the registry, and selection by a string."""

from koubai.backend.contract import Backend, PureFunction
from koubai.backend.place import Device
from koubai.backend.plugins import registry
from koubai.backend.selection import (
    DeviceStatus,
    asarray,
    device,
    device_of,
    devices,
    get_backend,
    get_default_device,
    register_backend,
    set_default_device,
    to_numpy,
)

__all__ = [
    "Backend",
    "Device",
    "DeviceStatus",
    "PureFunction",
    "asarray",
    "device",
    "device_of",
    "devices",
    "get_backend",
    "get_default_device",
    "register_backend",
    "registry",
    "set_default_device",
    "to_numpy",
]
