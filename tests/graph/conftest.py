"""Which cells of JAX the tests of graphs run on."""

import pytest


@pytest.fixture(autouse=True)
def few_cells_of_jax(request):
    """JAX compiles every operation anew for each device, dtype and shape, which takes time."""
    if not {"koubai_device", "koubai_dtype"} <= set(request.fixturenames):
        return
    device = request.getfixturevalue("koubai_device")
    wanted = {("jax:cpu", "float64")}
    if "network" in request.node.name:
        wanted |= {("jax:cpu:1", "float32")}
    cell = str(device), request.getfixturevalue("koubai_dtype")
    if device.backend.name == "jax" and cell not in wanted:
        pytest.skip("float64 is enough here; networks run in float32 on another device as well")
