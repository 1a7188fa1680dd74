"""Train the book's two-layer network on MNIST (section 5.7.4), on any device."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import koubai
from koubai import Trainer, TwoLayerNet, load_mnist


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax (default KOUBAI_DEVICE)")
parser.add_argument("--epochs", type=positive, default=17)
parser.add_argument("--batch-size", type=positive, default=100)
parser.add_argument("--lr", type=float, default=0.1, help="learning rate (default 0.1)")
parser.add_argument("--hidden", type=int, default=50, help="hidden units (default 50)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--dtype", default="float32")
parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="where to save on the way")
parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint there")
parser.add_argument("--plot", type=Path, default=Path("train_neuralnet.png"), help="the curves")
args = parser.parse_args()


def main(device):
    (x_train, t_train), (x_test, t_test) = load_mnist(device=device, dtype=args.dtype)
    network = TwoLayerNet(784, args.hidden, 10, device=device, dtype=args.dtype, rng=args.seed)
    print(network)

    trainer = Trainer(
        network, x_train, t_train, x_test, t_test,
        epochs=args.epochs, mini_batch_size=args.batch_size,
        optimizer="SGD", optimizer_param={"lr": args.lr}, rng=args.seed,
        checkpoint=args.checkpoint, resume=args.resume,
    )  # fmt: skip
    trainer.train()

    print(trainer.history.table())
    try:
        trainer.plot_history().savefig(args.plot)
        print(f"The curves are in {args.plot}.")
    except koubai.KoubaiError as error:  # matplotlib is an extra
        print(f"No curves: {error}")
    if not trainer.interrupted:
        print(f"test accuracy {trainer.test_acc_list[-1]:.4f}")


try:
    device = koubai.get_default_device() if args.device is None else koubai.device(args.device)
    # JAX has float64 switched off; this switches it on where it was asked for.
    with device, device.backend.float64() if args.dtype == "float64" else nullcontext():
        main(device)
except koubai.KoubaiError as error:
    sys.exit(str(error))
