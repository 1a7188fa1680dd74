"""The Trainer: the book's lists, and all that a run of hours needs."""

import csv
import json
import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest

import koubai
from koubai import KoubaiError
from koubai.errors import TrainingError
from koubai.optimizers import SGD, Adam
from koubai.saving import CheckpointFolder, CheckpointWarning
from koubai.training import Batches, Trainer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((230, 6)).astype(np.float32)
T = (X[:, 0] * X[:, 1] > 0).astype(np.int64) + 2 * (X[:, 2] > 0).astype(np.int64)


@pytest.fixture
def koubai_device(koubai_device):
    if str(koubai_device).endswith("no_x64"):
        pytest.skip("argmax, which an accuracy takes, raises there in array-api-strict 2.6.1")
    return koubai_device


def network(device="cpu", **options):
    options = {"weight_init_std": 0.5, "rng": 0} | options
    return koubai.TwoLayerNet(6, 12, 4, device=device, **options)


def trainer(net=None, **options):
    options = {
        "epochs": 3,
        "mini_batch_size": 50,
        "optimizer_param": {"lr": 0.1},
        "verbose": False,
        "rng": 0,
    } | options
    net = network() if net is None else net
    place = net.device
    test = (place.asarray(X[:90]), place.asarray(T[:90]))
    return Trainer(net, place.asarray(X), place.asarray(T), *test, **options)


def weights(run):
    return {key: koubai.to_numpy(value) for key, value in run.network.params.items()}


def assert_same(one, other, **near):
    for key, value in one.items():
        np.testing.assert_allclose(other[key], value, **near)


# The book's names


def test_the_lists_of_the_book(koubai_device):
    run = trainer(network(koubai_device)).train()
    assert len(run.train_loss_list) == 3 * 5  # the ragged last batch counts
    assert len(run.train_acc_list) == len(run.test_acc_list) == 3
    assert all(type(value) is float for value in run.train_loss_list)
    assert run.train_loss_list[-1] < run.train_loss_list[0]


def test_the_constructor_of_the_book_by_position():
    run = Trainer(network(), X, T, X, T, 2, 100, "adam", {"lr": 0.01}, 50, False)
    run.train()
    assert isinstance(run.optimizer, Adam)
    assert len(run.test_acc_list) == 2


def test_the_weights_are_those_of_the_loop_written_out(koubai_device):
    net, other = network(koubai_device), network(koubai_device)
    run = trainer(net).train()
    batches = Batches(X, T, 50, rng=0, device=koubai_device)
    optimizer = SGD(0.1)
    for _ in range(3):
        for x, t in batches:
            optimizer.update(other.params, other.gradient(x, t))
    expected = {key: koubai.to_numpy(value) for key, value in other.params.items()}
    assert_same(expected, weights(run), rtol=1e-4, atol=1e-6)


def test_steps_as_they_are_written_give_the_same():
    one, other = trainer().train(), trainer(compiled=False).train()
    assert_same(weights(one), weights(other), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.train_loss_list, other.train_loss_list, rtol=1e-4)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_loss_is_told_with_its_penalty_on_the_weights(compiled):
    size, classes = X.shape[1], int(T.max()) + 1
    net = koubai.MultiLayerNet(size, [8], classes, weight_decay_lambda=1.0, rng=0, device="cpu")
    twin = net.copy()
    run = trainer(net, epochs=1, compiled=compiled).train()
    x, t = next(iter(Batches(X, T, 50, rng=0)))
    assert run.train_loss_list[0] == pytest.approx(float(twin.loss(x, t)), rel=1e-5)
    assert "loss" not in vars(net)


def test_the_same_seed_gives_the_same_run():
    assert_same(weights(trainer().train()), weights(trainer().train()), rtol=0, atol=0)


def test_training_again_after_the_end_does_nothing_more():
    run = trainer().train()
    run.train()
    assert run.step == 15


def test_samples_to_be_evaluated_can_be_few():
    run = trainer(evaluate_sample_num_per_epoch=10).train()
    assert all(accuracy * 10 == round(accuracy * 10) for accuracy in run.test_acc_list)


def test_without_test_data_there_are_no_test_accuracies():
    run = Trainer(network(), X, T, epochs=1, verbose=False, rng=0).train()
    assert run.test_acc_list == []
    assert len(run.train_acc_list) == 1


def test_batches_may_be_anything_that_gives_batches():
    stream = [(X[i : i + 50], T[i : i + 50]) for i in range(0, 200, 50)]
    run = Trainer(network(), stream, None, X, T, epochs=2, verbose=False).train()
    assert run.step == 8
    assert len(run.test_acc_list) == 2


def test_data_on_the_host_train_a_network_elsewhere(koubai_device):
    net = network(koubai_device)
    place = net.device
    run = Trainer(
        net, X, T, place.asarray(X), place.asarray(T), epochs=1, verbose=False, rng=0,
        evaluate_sample_num_per_epoch=20,
    )  # fmt: skip
    assert run.train().step == 3


def test_a_regression_is_told_by_its_loss():
    layers = [koubai.Affine(np.zeros((6, 1), np.float32), np.zeros(1, np.float32))]
    net = koubai.Network(layers, koubai.IdentityWithLoss())
    y = X[:, :1] * 2
    run = Trainer(net, X, y, X, y, epochs=5, verbose=False, rng=0, restore_best=True).train()
    assert "test_accuracy" not in run.history
    assert run.history["test_loss"][-1] < run.history["test_loss"][0]


# History


def test_history_is_on_disk_as_it_goes(tmp_path):
    seen = []

    def look(_):
        with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
            seen.append(len(list(csv.DictReader(file))))

    run = trainer(log=tmp_path, callbacks={"epoch": look}).train()
    assert seen == [1, 2, 3]
    lines = (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["test_accuracy"] for line in lines] == run.test_acc_list
    assert run.history.table().splitlines()[0].split()[:3] == ["epoch", "step", "train_loss"]


def test_plot_history_draws_the_curves():
    figure = trainer().train().plot_history()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert all(axes.lines for axes in figure.axes)


def test_further_metrics_are_told():
    run = trainer(metrics={"confusion_matrix": None, "top_2_accuracy": None}).train()
    assert np.sum(run.history["test_confusion_matrix"][-1]) == 90
    assert run.history["test_top_2_accuracy"][-1] >= run.test_acc_list[-1]


# Events


def test_callbacks_are_plain_functions_on_events(tmp_path):
    heard = []
    events = ("begin", "step", "epoch", "checkpoint", "end")
    callbacks = {
        event: (lambda run, event=event: heard.append((event, run.step))) for event in events
    }
    trainer(epochs=1, callbacks=callbacks, checkpoint=tmp_path).train()
    assert heard == [
        ("begin", 0),
        *(("step", i) for i in range(1, 6)),
        ("checkpoint", 5),
        ("epoch", 5),
        ("end", 5),
    ]


def test_a_callback_can_end_the_training():
    def enough(run):
        run.stop = run.step == 7

    run = trainer(callbacks={"step": [enough]}).train()
    assert run.step == 7
    assert run.train().step == 15  # and it can be gone on with


def test_early_stopping_waits_for_its_patience():
    net = network()
    run = trainer(net, epochs=50, patience=2, optimizer_param={"lr": 0.0}).train()
    assert run.epoch == 3


def test_the_best_weights_come_back():
    kept = []

    def spoil(run):
        kept.append({key: value.copy() for key, value in weights(run).items()})
        for key in run.network.params:
            if run.epoch >= 2:
                run.network.params[key] *= 0.0

    run = trainer(epochs=4, restore_best=True, callbacks={"epoch": spoil}).train()
    best = int(np.argmax(run.test_acc_list))
    assert best < 3
    assert_same(kept[best], weights(run), rtol=0, atol=0)


def test_a_bar_is_shown_only_where_somebody_looks(capsys):
    trainer(verbose=True).train()
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


# What goes wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_names_the_step_and_the_layer(tmp_path, koubai_device):
    def poison(run):
        if run.step == 7:
            W = koubai.to_numpy(run.network.params["W2"]).copy()
            W[:] = 3e38
            run.network.params["W2"] = run.network.device.asarray(W)

    net = network(koubai_device)
    run = trainer(net, callbacks={"step": poison}, checkpoint=tmp_path)
    with pytest.raises(TrainingError, match="in step 8; it first shows in") as caught:
        run.train()
    assert "last good checkpoint" in str(caught.value)
    assert run.step == 5
    assert CheckpointFolder(tmp_path).newest().step == 5
    assert all(np.all(np.isfinite(value)) for value in weights(run).values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_too_large_a_learning_rate_is_traced_to_a_layer():
    run = trainer(optimizer_param={"lr": 1e30})
    with pytest.raises(TrainingError, match=r"in step \d+; it first shows in the output of Affine"):
        run.train()
    assert_same(weights(trainer()), weights(run), rtol=0, atol=0)


@pytest.fixture
def in_the_foreground():
    """Listen to Ctrl-C, which a shell lets its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_foreground")
def test_ctrl_c_ends_after_the_step_saves_and_tells_how_to_go_on(tmp_path, capsys):
    def press(run):
        if run.step == 8:
            os.kill(os.getpid(), signal.SIGINT)

    whole = trainer().train()
    run = trainer(callbacks={"step": press}, checkpoint=tmp_path, verbose=True).train()
    assert (run.step, run.interrupted) == (8, True)
    assert "Stopped after step 8" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = trainer(checkpoint=tmp_path, resume=True).train()
    assert_same(weights(whole), weights(again), rtol=0, atol=0)
    assert again.train_loss_list == whole.train_loss_list


def test_trains_in_a_thread():
    run = trainer()
    thread = threading.Thread(target=run.train)
    thread.start()
    thread.join()
    assert run.step == 15


# Checkpoints


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
@pytest.mark.parametrize("stop", [1, 5, 7])
def test_resumed_at_any_step_it_is_the_unbroken_run(tmp_path, optimizer, stop):
    def enough(run):
        run.stop = run.step == stop

    options = {"optimizer": optimizer, "optimizer_param": {"lr": 0.01}}
    whole = trainer(**options).train()
    trainer(**options, callbacks={"step": enough}, checkpoint=tmp_path).train()
    again = trainer(network(rng=5), **options, checkpoint=tmp_path, resume=True)
    assert again.step == stop
    again.train()
    assert_same(weights(whole), weights(again), rtol=0, atol=0)
    assert again.train_loss_list == whole.train_loss_list
    assert again.test_acc_list == whole.test_acc_list
    assert again.history["train_loss"] == whole.history["train_loss"]


def test_a_checkpoint_goes_to_another_backend(tmp_path, koubai_device):
    trainer(epochs=1, checkpoint=tmp_path).train()
    again = trainer(network(koubai_device), checkpoint=tmp_path, resume=True).train()
    whole = trainer().train()
    assert_same(weights(whole), weights(again), rtol=1e-4, atol=1e-5)


def test_resume_in_an_empty_folder_begins(tmp_path):
    assert trainer(checkpoint=tmp_path / "new", resume=True).train().step == 15


def test_a_folder_of_another_training_is_not_written_over(tmp_path):
    trainer(epochs=1, checkpoint=tmp_path).train()
    with pytest.raises(KoubaiError, match="resume=True goes on with it"):
        trainer(checkpoint=tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "Adam"}, "another optimizer"),
        ({"mini_batch_size": 40}, "batch_size"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, options, said):
    trainer(epochs=1, checkpoint=tmp_path).train()
    with pytest.raises(KoubaiError, match=said):
        trainer(checkpoint=tmp_path, resume=True, **options)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    trainer(epochs=1, checkpoint=tmp_path).train()
    net = koubai.TwoLayerNet(6, 13, 4, rng=0)
    with pytest.raises(KoubaiError, match="W1 is of shape"):
        trainer(net, checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_newest_file_falls_back_and_says_so(tmp_path, damage):
    trainer(epochs=2, checkpoint=tmp_path).train()
    newest = CheckpointFolder(tmp_path).paths()[-1]
    data = bytearray(newest.read_bytes())
    if damage == "altered":
        data[len(data) // 2] ^= 1
    newest.write_bytes(data[: len(data) - 10 * (damage == "truncated")])
    with pytest.warns(CheckpointWarning, match=newest.name):
        run = trainer(epochs=2, checkpoint=tmp_path, resume=True)
    assert run.step == 5
    assert_same(weights(trainer(epochs=2).train()), weights(run.train()), rtol=0, atol=0)


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux mounts a tmpfs"
)
def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=48k tmpfs {folder}") != 0:
        pytest.skip("this sandbox lets nobody mount")
    try:
        run = trainer(epochs=200, checkpoint=folder, keep=100)
        with pytest.raises(KoubaiError, match="No space left"):
            run.train()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert CheckpointFolder(folder).newest().step > 0
    finally:
        os.system(f"umount -l {folder}")


# At the door

GOOD = {"x_train": X, "t_train": T, "x_test": X, "t_test": T}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"x_train": X[:0], "t_train": T[:0]}, "at least one"),
        ({"t_train": T[:-1]}, "230"),
        ({"t_train": T + 1}, "from 0 to 3"),
        ({"t_test": T - 1}, "from 0 to 3"),
        ({"x_train": X[:, :5]}, "Affine"),
        ({"x_train": X.astype(np.int64)}, "floating"),
        ({"optimizer": "SDG"}, "no optimizer 'SDG'"),
        ({"epochs": -1}, "epochs"),
        ({"mini_batch_size": 0}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"callbacks": {"batch": print}}, "no event 'batch'"),
        ({"resume": True}, "folder"),
        ({"checkpoint_every": 3}, "folder"),
        ({"optimizer": SGD(0.1), "optimizer_param": {"lr": 1}}, "goes with an optimizer's name"),
    ],
    ids=str,
)
def test_bad_input_is_told_at_the_door(wrong, said):
    net = network()
    before = {key: value.copy() for key, value in net.params.items()}
    with pytest.raises(KoubaiError, match=said):
        Trainer(net, **(GOOD | {"verbose": False} | wrong))
    assert_same(before, net.params, rtol=0, atol=0)


def test_a_path_that_cannot_be_written_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(KoubaiError):
        trainer(checkpoint=tmp_path / "file")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scalars_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trainer(tensorboard=tmp_path / "board").train()
    (folder,) = {path.parent for path in tmp_path.rglob("*tfevents*")}
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    found = events.Tensors("test_accuracy")
    assert [event.step for event in found] == run.history["step"]
    values = [event.tensor_proto.float_val[0] for event in found]
    np.testing.assert_allclose(values, run.test_acc_list, rtol=1e-6)


def test_without_tensorboard_the_line_to_write_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(KoubaiError, match="pip install tensorboard"):
        trainer(tensorboard=tmp_path)
