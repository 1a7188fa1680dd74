"""A training that is killed at any moment goes on as if nothing had happened."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

from koubai.saving import CheckpointFolder, CheckpointWarning

KILLS = 50
PROGRAM = textwrap.dedent("""
    import sys
    import numpy as np
    import koubai
    from koubai.training import Trainer

    folder, device, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((230, 20)).astype(np.float32)
    t = rng.integers(0, 4, 230)
    net = koubai.TwoLayerNet(20, 16, 4, weight_init_std=0.3, rng=0, device=device)
    place = net.device
    trainer = Trainer(
        net, x, t, place.asarray(x[:50]), place.asarray(t[:50]), epochs=epochs,
        mini_batch_size=20, optimizer="Adam", optimizer_param={"lr": 0.01}, verbose=False, rng=1,
        evaluate_sample_num_per_epoch=50, checkpoint=folder, checkpoint_every=3, resume=True,
    )
    print("begun", trainer.step, flush=True)
    trainer.train()
    np.savez(folder + "/final.npz", losses=trainer.train_loss_list,
             **{key: koubai.to_numpy(value) for key, value in net.params.items()})
    print("done", flush=True)
""")


def run(folder, device, epochs, kill_after=None):
    """Run the program; kill it after some seconds of training. Tell whether it ended by itself."""
    command = [sys.executable, "-c", PROGRAM, str(folder), device, str(epochs)]
    # One thread: several processes that spin against each other are slow, not wrong.
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone
    ) as process:
        begun = process.stdout.readline()
        if kill_after is None or not begun:
            out, problem = process.communicate(timeout=120)
            assert process.returncode == 0, problem
            return "done" in out
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        return process.returncode == 0


def digest(folder):
    with np.load(folder / "final.npz") as found:
        return {key: hashlib.sha256(found[key].tobytes()).hexdigest() for key in found}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no kill -9")
def test_killed_fifty_times_the_weights_are_those_of_an_unbroken_run(tmp_path, request):
    chosen = request.config.getoption("--backend")
    if chosen and "numpy" not in chosen.split(","):
        pytest.skip(f"not among --backend {chosen}")
    draw = random.Random(0)
    epochs = 400
    run(tmp_path / "unbroken", "numpy", epochs)
    kills = 0
    while kills < KILLS:
        folder, ended = tmp_path / f"killed after {kills}", False
        while not ended and kills < KILLS:
            ended = run(folder, "numpy", epochs, kill_after=draw.uniform(0.0, 0.08))
            kills += not ended
            with warnings.catch_warnings():
                warnings.simplefilter("error", CheckpointWarning)
                CheckpointFolder(folder).newest()  # readable, whenever it was killed
        run(folder, "numpy", epochs)
        assert digest(folder) == digest(tmp_path / "unbroken")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no kill -9")
def test_killed_on_a_device_the_weights_agree(tmp_path, koubai_device):
    name = str(koubai_device)
    if name.startswith("array_api_strict"):
        pytest.skip("each step takes long there; NumPy proves the same code to the last bit")
    epochs = 12
    run(tmp_path / "unbroken", name, epochs)
    for _ in range(2):
        run(tmp_path / "killed", name, epochs, kill_after=0.3)
    run(tmp_path / "killed", name, epochs)
    with (
        np.load(tmp_path / "unbroken" / "final.npz") as one,
        np.load(tmp_path / "killed" / "final.npz") as other,
    ):
        for key in one:
            np.testing.assert_allclose(other[key], one[key], rtol=1e-6, atol=1e-6)
