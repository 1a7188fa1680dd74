"""What the networks of the book reach on the real MNIST."""

import pytest

import koubai
from koubai.optimizers import Adam, Scheduled, schedules


@pytest.fixture(autouse=True)
def on_numpy(request):
    chosen = request.config.getoption("--backend")
    if chosen and "numpy" not in chosen.split(","):
        pytest.skip(f"not among --backend {chosen}")


def trained(network, **options):
    (x, t), (x_test, t_test) = koubai.load_mnist(device="cpu")
    return koubai.Trainer(
        network, x, t, x_test, t_test, rng=0, verbose=False, evaluate_sample_num_per_epoch=10_000,
        **options,
    ).train()  # fmt: skip


def test_sgd_reaches_968_in_17_epochs():
    network = koubai.TwoLayerNet(784, 50, 10, device="cpu", rng=0)
    run = trained(network, epochs=17, optimizer_param={"lr": 0.1})
    assert run.test_acc_list[-1] >= 0.968


def test_adam_reaches_975_in_5_epochs():
    network = koubai.TwoLayerNet(784, 100, 10, weight_init_std="he", device="cpu", rng=0)
    falling = schedules.cosine(0.004, steps=5 * 600)
    run = trained(network, epochs=5, optimizer=Scheduled(Adam(), falling))
    assert run.test_acc_list[-1] >= 0.975
